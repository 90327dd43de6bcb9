// Round trips and one-way traffic between goroutines.
//
//     go_channels goroutines|threads CAPACITY hot WARMUP BATCHES BATCH PLACE
//     go_channels goroutines|threads CAPACITY parked WARMUP COUNT PAUSE_US HOLD_US PLACE
//     go_channels goroutines|threads CAPACITY one_way SENDERS RECEIVERS MESSAGES
//
// With `threads` each goroutine has a thread of its own; otherwise the
// scheduler may run both ends on one.  CAPACITY is that of the channels; PLACE
// is ignored.  Prints microseconds, a line for each batch (the mean of its round
// trips), each round trip, or one for the mean of all messages;
// measure/loops.py says what exactly is measured.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

var locked bool

// start runs a function in a goroutine of its own.
func start(function func()) {
	go func() {
		if locked {
			runtime.LockOSThread()
		}
		function()
	}()
}

func echo(there, back chan int, count int) {
	for i := 0; i < count; i++ {
		back <- <-there
	}
}

func hot(capacity, warmup, batches, batch int) {
	there, back := make(chan int, capacity), make(chan int, capacity)
	durations := make(chan time.Duration, warmup+batches)
	start(func() { echo(there, back, (warmup+batches)*batch) })
	start(func() {
		for i := 0; i < warmup+batches; i++ {
			begin := time.Now()
			for k := 0; k < batch; k++ {
				there <- k
				if <-back != k {
					panic("not what was sent")
				}
			}
			durations <- time.Since(begin)
		}
		close(durations)
	})
	for duration := range durations {
		if warmup--; warmup < 0 {
			show(duration, batch)
		}
	}
}

func parked(capacity, warmup, count, pauseUs, holdUs int) {
	there, back := make(chan int, capacity), make(chan int, capacity)
	durations := make(chan time.Duration, warmup+count)
	held := make(chan time.Duration, warmup+count)
	start(func() {
		for i := 0; i < warmup+count; i++ {
			message := <-there
			begin := time.Now()
			if holdUs > 0 {
				time.Sleep(time.Duration(holdUs) * time.Microsecond)
			}
			held <- time.Since(begin)
			back <- message
		}
	})
	start(func() {
		for i := 0; i < warmup+count; i++ {
			time.Sleep(time.Duration(pauseUs) * time.Microsecond)
			begin := time.Now()
			there <- i
			<-back
			durations <- time.Since(begin)
		}
		close(durations)
	})
	var trips []time.Duration
	for duration := range durations {
		trips = append(trips, duration-<-held)
	}
	for _, trip := range trips[warmup:] {
		show(trip, 1)
	}
}

// transfer returns the time from the first send to the end of the last receiver.
func transfer(capacity, senders, receivers, messages int) time.Duration {
	channel := make(chan int, capacity)
	var ready, sending, receiving sync.WaitGroup
	gate := make(chan bool)
	ready.Add(senders + receivers)
	sending.Add(senders)
	receiving.Add(receivers)
	for i := 0; i < senders; i++ {
		start(func() {
			ready.Done()
			<-gate
			for k := 0; k < messages/senders; k++ {
				channel <- k % 256
			}
			sending.Done()
		})
	}
	for i := 0; i < receivers; i++ {
		start(func() {
			ready.Done()
			<-gate
			for range channel {
			}
			receiving.Done()
		})
	}
	ready.Wait()
	begin := time.Now()
	close(gate)
	sending.Wait()
	close(channel)
	receiving.Wait()
	return time.Since(begin)
}

func show(duration time.Duration, count int) {
	fmt.Printf("%.4f\n", float64(duration.Nanoseconds())/1e3/float64(count))
}

func main() {
	var numbers []int
	for _, word := range append([]string{os.Args[2]}, os.Args[4:]...) {
		number, err := strconv.Atoi(word)
		if err != nil {
			panic(err)
		}
		numbers = append(numbers, number)
	}
	locked = os.Args[1] == "threads"
	switch n := numbers; os.Args[3] {
	case "hot":
		hot(n[0], n[1], n[2], n[3])
	case "parked":
		parked(n[0], n[1], n[2], n[3], n[4])
	case "one_way":
		transfer(n[0], n[1], n[2], n[3]/10)
		show(transfer(n[0], n[1], n[2], n[3]), n[3])
	default:
		panic("there is no such mode")
	}
}
