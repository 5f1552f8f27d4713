package server_test

import (
	"fmt"
	"runtime"
	"testing"
)

// record runs a check and gives what it would have failed the test with.
func record(t testing.TB, check func(t testing.TB)) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r.said
}

// recorder remembers what a test is failed with. The rest is the test's own.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, arguments ...any) {
	r.said = append(r.said, fmt.Sprintf(format, arguments...))
}

func (r *recorder) Error(arguments ...any) { r.said = append(r.said, fmt.Sprintln(arguments...)) }

func (r *recorder) Fatalf(format string, arguments ...any) {
	r.Errorf(format, arguments...)
	runtime.Goexit()
}

func (r *recorder) Fatal(arguments ...any) {
	r.Error(arguments...)
	runtime.Goexit()
}
