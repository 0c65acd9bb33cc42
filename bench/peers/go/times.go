// SPDX-License-Identifier: MIT

package main

import (
	"math/rand"
	"runtime"
	"sort"
	"syscall"
	"time"
)

const (
	timerRounds = 5
	longestMs   = 60000
	leastNs     = 1000000
	spreadNs    = 19000000
)

func showQuantiles(name string, latencies []time.Duration) {
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	for _, one := range []struct {
		name string
		part float64
	}{{"earliest", 0}, {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}} {
		index := int(float64(len(latencies)) * one.part)
		show(name+"_"+one.name, "us", float64(latencies[index])/1e3)
	}
}

// The series of bench/latency.h.
func durationOf(index uint64) time.Duration {
	state := (index + 1) * 0x9e3779b97f4a7c15
	state ^= state >> 29
	return time.Duration(leastNs + state%spreadNs)
}

func lateness(count int64) {
	latencies := make([]time.Duration, count)
	for i := range latencies {
		wanted := durationOf(uint64(i))
		begin := time.Now()
		time.Sleep(wanted)
		latencies[i] = time.Since(begin) - wanted
	}
	showQuantiles("lateness", latencies)
}

func never() { panic("no timer is due") }

func timers(count int64) {
	runtime.GC()
	for round := 0; round < timerRounds; round++ {
		pending := make([]*time.Timer, count)
		delays := make([]time.Duration, count)
		for i := range delays {
			delays[i] = time.Duration(rand.Intn(longestMs)+longestMs) * time.Millisecond
		}
		order := rand.Perm(int(count))
		begin := time.Now()
		for i := range pending {
			pending[i] = time.AfterFunc(delays[i], never)
		}
		armed := time.Now()
		for _, i := range order {
			pending[i].Stop()
		}
		end := time.Now()
		show("timer_arm", "ns", float64(armed.Sub(begin))/float64(count))
		show("timer_cancel", "ns", float64(end.Sub(armed))/float64(count))
	}
}

// A thread that is no goroutine's but its own: the sender of wake and stream.
func onThread(run func()) {
	go func() {
		runtime.LockOSThread()
		run()
	}()
}

func wake(count int64) {
	sent := make(chan time.Time, 1)
	latencies := make([]time.Duration, count)
	onThread(func() {
		for i := int64(0); i < count; i++ {
			pause := syscall.Timespec{Nsec: 200000}
			check(syscall.Nanosleep(&pause, nil) == nil, "nanosleep")
			sent <- time.Now()
		}
	})
	for i := range latencies {
		latencies[i] = time.Since(<-sent)
	}
	showQuantiles("wake", latencies)
}

func streamRound(count, capacity int64) time.Duration {
	items := make(chan int64, capacity)
	begin := now()
	onThread(func() {
		for i := int64(0); i < count; i++ {
			items <- i
		}
	})
	sum := int64(0)
	for i := int64(0); i < count; i++ {
		sum += <-items
	}
	elapsed := now() - begin
	check(sum == count*(count-1)/2, "sum")
	return elapsed
}

func startup(_ int64) {
	done := make(chan int, 1)
	go func() { done <- 7 }()
	check(<-done == 7, "result")
}
