//go:build unix

package webhook_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// BenchmarkDelivery reports the processor time that a delivery costs this process, with a receiver that does as little as it can.
func BenchmarkDelivery(b *testing.B) {
	s := storetest.Open(b, storetest.SQLiteURL(b))
	storetest.Directory(b, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if _, err := r.Discard(int(request.ContentLength)); err != nil {
						return
					}
					if _, err := c.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	for n := range b.N {
		_, _, err := s.UpdateUser(b.Context(), ada, store.Change{Edit: func(u *store.User) error { u.FirstName = fmt.Sprint("Ada ", n); return nil }})
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.NumberChanges(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, _, err := s.AddWebhook(b.Context(), store.NewWebhook{URL: "http://" + l.Addr().String(), From: new(int64(1)), AllowHTTP: true}); err != nil {
		b.Fatal(err)
	}
	d := webhook.New(webhook.Config{Store: s, AllowHTTP: true, AllowNetworks: loopback})
	d.SetRate(1 << 30)
	before := cpu(b)
	b.ResetTimer()
	if err := d.Step(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric((cpu(b)-before)/float64(b.N)*1e6, "cpu-µs/op")
	if delivered := d.Stats().Attempts["2xx"]; delivered < int64(b.N) {
		b.Errorf("%d deliveries, %s", delivered, strings.TrimSpace(fmt.Sprint(d.Stats())))
	}
}

// cpu returns the processor time of this process, in seconds.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
