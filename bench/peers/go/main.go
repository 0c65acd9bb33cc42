// SPDX-License-Identifier: MIT

// The questions of bench/, answered by Go, in the same words. BENCH_WORKERS says on how many threads:
// one if it is not set. With BENCH_QUICK a tenth is done, unless -n says how many.
//
// usage: go list; or QUESTION [-n COUNT] [-w WARM_COUNT] [PARAMETER]; or echo [once]
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	branches = 10
	each     = 4

	treeBranches = 8
	leafSteps    = 2000
)

type question struct {
	unit         string // ns: per operation; ms: for the round
	count        int64
	warm         int64 // -1: as many as count
	hasParameter bool
	parameter    int64
	round        func(count, parameter int64) time.Duration
}

func check(condition bool, what string) {
	if !condition {
		panic(what)
	}
}

// Processor time of the whole process, the collector's included.
func cpu() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil, "getrusage")
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var start = time.Now()

func now() time.Duration {
	if os.Getenv("BENCH_CLOCK") == "cpu" {
		return cpu()
	}
	return time.Since(start)
}

func yieldRound(count, _ int64) time.Duration {
	done := make(chan bool)
	yields := func() {
		for i := int64(0); i < count/2; i++ {
			runtime.Gosched()
		}
	}
	go func() {
		yields()
		done <- true
	}()
	begin := now()
	yields()
	elapsed := now() - begin
	<-done
	return elapsed
}

func spawnJoinRound(count, _ int64) time.Duration {
	done := make(chan int, 1)
	begin := now()
	for i := int64(0); i < count; i++ {
		go func() { done <- 7 }()
		check(<-done == 7, "result")
	}
	return now() - begin
}

func spawnManyRound(count, _ int64) time.Duration {
	var group sync.WaitGroup
	begin := now()
	group.Add(int(count))
	for i := int64(0); i < count; i++ {
		go group.Done()
	}
	group.Wait()
	return now() - begin
}

func pingPongRound(count, capacity int64) time.Duration {
	questions := make(chan int64, capacity)
	answers := make(chan int64, capacity)
	go func() {
		for number := range questions {
			answers <- number + 1
		}
		close(answers)
	}()
	number := int64(0)
	begin := now()
	for i := int64(0); i < count; i++ {
		questions <- number
		number = <-answers
	}
	elapsed := now() - begin
	close(questions)
	<-answers
	check(number == count, "count")
	return elapsed
}

func pipeRound(count, capacity int64) time.Duration {
	items := make(chan int64, capacity)
	go func() {
		for i := int64(0); i < count; i++ {
			items <- i
		}
		close(items)
	}()
	begin := now()
	sum := int64(0)
	for number := range items {
		sum += number
	}
	elapsed := now() - begin
	check(sum == count*(count-1)/2, "sum")
	return elapsed
}

func crowdRound(count, capacity int64) time.Duration {
	items := make(chan int64, capacity)
	received := make(chan int64, each)
	var producers sync.WaitGroup
	begin := now()
	for i := int64(0); i < each; i++ {
		share := (count + i) / each
		producers.Add(1)
		go func() {
			for number := int64(0); number < share; number++ {
				items <- number
			}
			producers.Done()
		}()
		go func() {
			sum := int64(0)
			for range items {
				sum++
			}
			received <- sum
		}()
	}
	producers.Wait()
	close(items)
	sum := int64(0)
	for i := 0; i < each; i++ {
		sum += <-received
	}
	elapsed := now() - begin
	check(sum == count, "count")
	return elapsed
}

func select2(c []chan int64) (number int64) {
	select {
	case number = <-c[0]:
	case number = <-c[1]:
	}
	return
}

func select8(c []chan int64) (number int64) {
	select {
	case number = <-c[0]:
	case number = <-c[1]:
	case number = <-c[2]:
	case number = <-c[3]:
	case number = <-c[4]:
	case number = <-c[5]:
	case number = <-c[6]:
	case number = <-c[7]:
	}
	return
}

func select64(c []chan int64) (number int64) {
	select {
	case number = <-c[0]:
	case number = <-c[1]:
	case number = <-c[2]:
	case number = <-c[3]:
	case number = <-c[4]:
	case number = <-c[5]:
	case number = <-c[6]:
	case number = <-c[7]:
	case number = <-c[8]:
	case number = <-c[9]:
	case number = <-c[10]:
	case number = <-c[11]:
	case number = <-c[12]:
	case number = <-c[13]:
	case number = <-c[14]:
	case number = <-c[15]:
	case number = <-c[16]:
	case number = <-c[17]:
	case number = <-c[18]:
	case number = <-c[19]:
	case number = <-c[20]:
	case number = <-c[21]:
	case number = <-c[22]:
	case number = <-c[23]:
	case number = <-c[24]:
	case number = <-c[25]:
	case number = <-c[26]:
	case number = <-c[27]:
	case number = <-c[28]:
	case number = <-c[29]:
	case number = <-c[30]:
	case number = <-c[31]:
	case number = <-c[32]:
	case number = <-c[33]:
	case number = <-c[34]:
	case number = <-c[35]:
	case number = <-c[36]:
	case number = <-c[37]:
	case number = <-c[38]:
	case number = <-c[39]:
	case number = <-c[40]:
	case number = <-c[41]:
	case number = <-c[42]:
	case number = <-c[43]:
	case number = <-c[44]:
	case number = <-c[45]:
	case number = <-c[46]:
	case number = <-c[47]:
	case number = <-c[48]:
	case number = <-c[49]:
	case number = <-c[50]:
	case number = <-c[51]:
	case number = <-c[52]:
	case number = <-c[53]:
	case number = <-c[54]:
	case number = <-c[55]:
	case number = <-c[56]:
	case number = <-c[57]:
	case number = <-c[58]:
	case number = <-c[59]:
	case number = <-c[60]:
	case number = <-c[61]:
	case number = <-c[62]:
	case number = <-c[63]:
	}
	return
}

func selectRound(count, width int64) time.Duration {
	selects := map[int64]func([]chan int64) int64{2: select2, 8: select8, 64: select64}
	receive := selects[width]
	check(receive != nil, "select over 2, 8 or 64")
	channels := make([]chan int64, width)
	for i := range channels {
		c := make(chan int64)
		channels[i] = c
		share := (count + int64(i)) / width
		go func() {
			for number := int64(0); number < share; number++ {
				c <- number
			}
		}()
	}
	begin := now()
	for i := int64(0); i < count; i++ {
		receive(channels)
	}
	return now() - begin
}

func ringRound(count, tasks int64) time.Duration {
	end := make(chan int64, 1)
	links := make([]chan int64, tasks)
	for i := range links {
		links[i] = make(chan int64)
	}
	for i := int64(0); i < tasks; i++ {
		in, out := links[i], links[(i+1)%tasks]
		go func() {
			for hops := range in {
				if hops > 0 {
					out <- hops - 1
				} else {
					end <- hops - 1
				}
			}
		}()
	}
	links[0] <- tasks - 1
	<-end
	begin := now()
	links[0] <- count - 1
	<-end
	elapsed := now() - begin
	for _, link := range links {
		close(link)
	}
	return elapsed
}

func sieveRound(count, _ int64) time.Duration {
	quit := make(chan bool)
	begin := now()
	in := make(chan int64)
	go func(out chan int64) {
		for number := int64(2); ; number++ {
			select {
			case out <- number:
			case <-quit:
				return
			}
		}
	}(in)
	prime := int64(0)
	for i := int64(0); i < count; i++ {
		prime = <-in
		out := make(chan int64)
		go func(in, out chan int64, prime int64) {
			for number := range in {
				if number%prime != 0 {
					out <- number
				}
			}
		}(in, out, prime)
		in = out
	}
	elapsed := now() - begin
	close(quit) // the filters stay asleep until the process ends
	check(count != 2000 || prime == 17389, "prime")
	return elapsed
}

func skynet(out chan int64, first, size int64) {
	if size == 1 {
		out <- first
		return
	}
	below := make(chan int64)
	part := size / branches
	for i := int64(0); i < branches; i++ {
		go skynet(below, first+i*part, part)
	}
	sum := int64(0)
	for i := 0; i < branches; i++ {
		sum += <-below
	}
	out <- sum
}

func skynetRound(count, _ int64) time.Duration {
	top := make(chan int64)
	begin := now()
	go skynet(top, 0, count)
	sum := <-top
	elapsed := now() - begin
	check(sum == count*(count-1)/2, "sum")
	return elapsed
}

// Its own number, after a chain of steps that is never 0.
func leaf(number int64) int64 {
	state := uint64(number) + 1
	for i := 0; i < leafSteps; i++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	if state == 0 {
		number++
	}
	return number
}

func tree(first, count int64) int64 {
	if count == 1 {
		return leaf(first)
	}
	var group sync.WaitGroup
	var sums [treeBranches]int64
	for i := int64(0); i < treeBranches; i++ {
		i, from, part := i, first, (count+i)/treeBranches
		first += part
		if part == 0 {
			continue
		}
		group.Add(1)
		go func() {
			sums[i] = tree(from, part)
			group.Done()
		}()
	}
	group.Wait()
	return total(sums[:])
}

func total(sums []int64) int64 {
	sum := int64(0)
	for _, part := range sums {
		sum += part
	}
	return sum
}

func row(count int64) int64 {
	var group sync.WaitGroup
	sums := make([]int64, count)
	group.Add(int(count))
	for i := range sums {
		i := i
		go func() {
			sums[i] = leaf(int64(i))
			group.Done()
		}()
	}
	group.Wait()
	return total(sums[:])
}

func treeRound(count, shape int64) time.Duration {
	begin := now()
	sum := int64(0)
	if shape == 0 {
		sum = tree(0, count)
	} else {
		sum = row(count)
	}
	elapsed := now() - begin
	check(sum == count*(count-1)/2, "sum")
	return elapsed
}

func mutexRound(count, tasks int64) time.Duration {
	var mutex sync.Mutex
	var group sync.WaitGroup
	counter := int64(0)
	group.Add(int(tasks))
	begin := now()
	for i := int64(0); i < tasks; i++ {
		share := (count + i) / tasks
		go func() {
			for j := int64(0); j < share; j++ {
				mutex.Lock()
				counter++
				mutex.Unlock()
			}
			group.Done()
		}()
	}
	group.Wait()
	elapsed := now() - begin
	check(counter == count, "counter")
	return elapsed
}

func sleepersRound(count, _ int64) time.Duration {
	var group sync.WaitGroup
	begin := cpu()
	group.Add(int(count))
	for i := int64(0); i < count; i++ {
		duration := time.Duration(1+i%1000) * time.Millisecond
		go func() {
			time.Sleep(duration)
			group.Done()
		}()
	}
	group.Wait()
	return cpu() - begin
}

// A line of /proc/self/status, in bytes.
func statusBytes(name string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	check(err == nil, "status")
	for _, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == name {
			kib, err := strconv.ParseInt(words[1], 10, 64)
			check(err == nil, name)
			return kib * 1024
		}
	}
	panic(name)
}

func parked(count int64) {
	var waiting sync.WaitGroup
	end := make(chan bool)
	memory, tables := statusBytes("VmRSS:"), statusBytes("VmPTE:")
	waiting.Add(int(count))
	begin := now()
	for i := int64(0); i < count; i++ {
		go func() {
			waiting.Done()
			<-end
		}()
	}
	waiting.Wait()
	show("parked_time", "ns", float64(now()-begin)/float64(count))
	show("parked_memory", "bytes", float64(statusBytes("VmRSS:")-memory)/float64(count))
	show("parked_page_tables", "bytes", float64(statusBytes("VmPTE:")-tables)/float64(count))
}

func show(name, unit string, value float64) {
	fmt.Printf("%s %s %.2f\n", name, unit, value)
}

var questions = map[string]question{
	"yield":      {"ns", 2000000, -1, false, 0, yieldRound},
	"spawn_join": {"ns", 500000, -1, false, 0, spawnJoinRound},
	"spawn_many": {"ns", 1000000, -1, false, 0, spawnManyRound},
	"ping_pong":  {"ns", 1000000, -1, true, 0, pingPongRound},
	"pipe":       {"ns", 2000000, -1, true, 0, pipeRound},
	"crowd":      {"ns", 2000000, -1, true, 64, crowdRound},
	"select":     {"ns", 500000, -1, true, 2, selectRound},
	"ring":       {"ns", 1000000, -1, true, 1000, ringRound},
	"sieve":      {"ms", 2000, -1, false, 0, sieveRound},
	"skynet":     {"ms", 1000000, 0, false, 0, skynetRound},
	"tree":       {"ms", 20000, 2000, true, 0, treeRound},
	"mutex":      {"ns", 5000000, -1, true, 8, mutexRound},
	"sleepers":   {"ms", 100000, 0, false, 0, sleepersRound},
	"stream":     {"ns", 500000, -1, true, 1024, streamRound},
}

// Those that print their own lines.
var others = map[string]struct {
	count int64
	run   func(count int64)
}{
	"lateness": {200, lateness},
	"parked":   {1000000, parked},
	"startup":  {1, startup},
	"timers":   {1000000, timers},
	"wake":     {2000, wake},
}

func workers() int {
	number, err := strconv.Atoi(os.Getenv("BENCH_WORKERS"))
	if err != nil {
		return 1
	}
	return number
}

func list() {
	for name := range questions {
		fmt.Println(name)
	}
	for name := range others {
		fmt.Println(name)
	}
	fmt.Println("echo")
}

func isQuick() bool { return os.Getenv("BENCH_QUICK") != "" }

func answerOther(name string, arguments []string) {
	count := others[name].count
	if isQuick() && count >= 10 {
		count /= 10
	}
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.Int64Var(&count, "n", count, "how many")
	check(flags.Parse(arguments) == nil, "arguments")
	others[name].run(count)
}

func answer(name string, arguments []string) {
	asked := questions[name]
	if isQuick() {
		asked.count /= 10
	}
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	count := flags.Int64("n", asked.count, "operations")
	warm := flags.Int64("w", asked.warm, "operations before; -1: as many")
	check(flags.Parse(arguments) == nil, "arguments")
	parameter := asked.parameter
	if flags.NArg() > 0 {
		number, err := strconv.ParseInt(flags.Arg(0), 10, 64)
		check(err == nil, "parameter")
		parameter = number
	}
	if *warm < 0 {
		*warm = *count
	}
	if *warm > 0 {
		asked.round(*warm, parameter)
	}
	elapsed := asked.round(*count, parameter)
	if asked.hasParameter {
		name += "_" + strconv.FormatInt(parameter, 10)
	}
	if asked.unit == "ns" {
		show(name, "ns", float64(elapsed)/float64(*count))
	} else {
		show(name, "ms", float64(elapsed)/1e6)
	}
}

func main() {
	runtime.GOMAXPROCS(workers())
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	name := os.Args[1]
	if name == "list" {
		list()
	} else if name == "echo" {
		echo(os.Args[2:])
	} else if _, known := questions[name]; known {
		answer(name, os.Args[2:])
	} else if _, known := others[name]; known {
		answerOther(name, os.Args[2:])
	} else {
		fmt.Fprintln(os.Stderr, name+": no such question")
		os.Exit(2)
	}
}
