package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// process is a server under measurement.
type process struct {
	command *exec.Cmd
	address string // host:port
	admin   string // the address of its admin endpoints; "" if it has none
	log     *os.File
}

// start runs a program that serves on a free port of the loopback address, and returns when it accepts connections. "{address}" in the
// arguments is replaced by that address. The program's output goes to the file log.
func start(ctx context.Context, log string, environment []string, program string, arguments ...string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	all := make([]string, len(arguments))
	for i, a := range arguments {
		all[i] = strings.ReplaceAll(a, "{address}", address)
	}
	file, err := os.Create(log) // #nosec G304 -- the file is the benchmark's own
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", program, err)
	}
	command := exec.CommandContext(ctx, program, all...) // #nosec G204 -- the operator names the program
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = file, file
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{command: command, address: address, log: file}
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			return p, c.Close()
		}
	}
	p.stop()
	content, _ := os.ReadFile(log) // #nosec G304 -- as above
	return nil, fmt.Errorf("%s accepts no connections:\n%s", program, content)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	_ = p.command.Wait()
	_ = p.log.Close()
}

// cpu returns the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	s, err := stat(p.command.Process.Pid)
	return seconds(s.CPUTime()), err
}

// memory returns the peak resident memory of the process since resetMemory, in bytes.
func (p *process) memory() (int64, error) {
	s, err := p.status()
	return int64(s.VmHWM), err // #nosec G115 -- no machine has so much
}

// resident returns the current resident memory of the process, in bytes.
func (p *process) resident() (int64, error) {
	s, err := p.status()
	return int64(s.VmRSS), err // #nosec G115 -- no machine has so much
}

func (p *process) status() (procfs.ProcStatus, error) {
	proc, err := procfs.NewProc(p.command.Process.Pid)
	if err != nil {
		return procfs.ProcStatus{}, err
	}
	return proc.NewStatus()
}

func (p *process) resetMemory() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.command.Process.Pid), []byte("5"), 0o200)
}

func stat(pid int) (procfs.ProcStat, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return p.Stat()
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// ready waits until the program reports that it is ready.
func (p *process) ready() error {
	var last error
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		answer, err := http.Get("http://" + p.address + "/readyz")
		if last = err; err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("%s", answer.Status)
	}
	return fmt.Errorf("not ready: %w", last)
}

// cluster is a Postgres server on this machine, with all its processes.
type cluster struct{ postmaster int }

// findCluster returns the cluster that a connection's process belongs to. It returns nil if Postgres is on another machine or in another
// process id namespace.
func findCluster(backend int) *cluster {
	s, err := stat(backend)
	if err != nil || s.Comm != "postgres" {
		return nil
	}
	return &cluster{s.PPID}
}

// cpu returns the processor time that all processes of the cluster have used, including those that have ended.
func (c *cluster) cpu() (time.Duration, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("processor time of Postgres: %w", err)
	}
	var used time.Duration
	for _, p := range all {
		s, err := p.Stat()
		if err != nil {
			continue // it ended in the meantime, and is included in the postmaster's time at the next call
		}
		if s.PID == c.postmaster || s.PPID == c.postmaster {
			used += seconds(s.CPUTime())
		}
		if s.PID == c.postmaster {
			used += time.Duration(s.CUTime+s.CSTime) * clockTick
		}
	}
	return used, nil
}

// clockTick is the unit of times in /proc: USER_HZ, which is 100 on every Linux.
const clockTick = 10 * time.Millisecond
