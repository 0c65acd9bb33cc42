// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

const bufferSize = 4096 // as all servers of bench/ have it

var openCount atomic.Int64

// A goroutine for each connection, one read and one write for each request.
func serve(connection net.Conn, listener net.Listener, once bool) {
	buffer := make([]byte, bufferSize)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			break
		}
		if _, err = connection.Write(buffer[:count]); err != nil {
			break
		}
	}
	connection.Close()
	if openCount.Add(-1) == 0 && once {
		listener.Close()
	}
}

// usage: echo [once]; Go sets TCP_NODELAY by itself
func echo(arguments []string) {
	once := len(arguments) > 0 && arguments[0] == "once"
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	check(err == nil, "listen")
	fmt.Printf("listening on port %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			if once {
				os.Exit(0)
			}
			panic(err)
		}
		openCount.Add(1)
		go serve(connection, listener, once)
	}
}
