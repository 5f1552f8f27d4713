package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// clockTick is the unit of the times in /proc: USER_HZ, which is 100 on every Linux.
const clockTick = 10 * time.Millisecond

// stat is a part of a process's /proc/[pid]/stat.
type stat struct {
	name   string
	parent int
	// Processor time of the process, and of its children that have ended.
	own, ended time.Duration
}

func statOf(pid int) (stat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(content))
}

func parseStat(text string) (s stat, err error) {
	// The name is in parentheses and may contain any characters.
	from, to := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[to+1:])
	if from < 0 || to < from || len(fields) < 15 {
		return stat{}, fmt.Errorf("state of a process: %q", text)
	}
	s.name = text[from+1 : to]
	var n [5]int
	for i, field := range []string{fields[1], fields[11], fields[12], fields[13], fields[14]} {
		if n[i], err = strconv.Atoi(field); err != nil {
			return stat{}, fmt.Errorf("state of a process: %w", err)
		}
	}
	s.parent = n[0]
	s.own, s.ended = time.Duration(n[1]+n[2])*clockTick, time.Duration(n[3]+n[4])*clockTick
	return s, nil
}

// cpu returns the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	s, err := statOf(p.command.Process.Pid)
	return s.own, err
}

// memory returns the peak resident memory of the process since resetMemory, in bytes.
func (p *process) memory() (int64, error) { return p.status("VmHWM") }

// resident returns the current resident memory of the process, in bytes.
func (p *process) resident() (int64, error) { return p.status("VmRSS") }

func (p *process) status(name string) (int64, error) {
	value := valueIn(p.proc("status"), name)
	kib, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %s is %q", p.command.Process.Pid, name, value)
	}
	return kib << 10, nil
}

func (p *process) resetMemory() error {
	return os.WriteFile(p.proc("clear_refs"), []byte("5"), 0o200)
}

func (p *process) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.command.Process.Pid, name)
}

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
	s, err := statOf(backend)
	if err != nil || s.name != "postgres" {
		return nil
	}
	return &cluster{s.parent}
}

// cpu returns the processor time that all processes of the cluster have used, including those that have ended.
func (c *cluster) cpu() (time.Duration, error) {
	s, err := statOf(c.postmaster)
	if err != nil {
		return 0, fmt.Errorf("processor time of Postgres: %w", err)
	}
	all := s.own + s.ended
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("processor time of Postgres: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that ends in the meantime is included in the postmaster's time at the next call.
		if child, err := statOf(pid); err == nil && child.parent == c.postmaster {
			all += child.own
		}
	}
	return all, nil
}
