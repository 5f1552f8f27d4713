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
	log     *os.File
}

// start runs a program that serves on a free port of the loopback address, its output in a file, and returns when it takes
// connections. Arguments of "{address}" become that address.
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
	p := &process{command, address, file}
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			return p, c.Close()
		}
	}
	p.stop()
	content, _ := os.ReadFile(log) // #nosec G304 -- as above
	return nil, fmt.Errorf("%s does not serve:\n%s", program, content)
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

// cpu is how much processor time the process has had.
func (p *process) cpu() (time.Duration, error) {
	stat, err := p.read("stat")
	if err != nil {
		return 0, err
	}
	// The fields behind the name, which may hold anything, in parentheses.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("processor time of process %d: %q", p.command.Process.Pid, stat)
	}
	return time.Duration(user+system) * clockTick, nil
}

// memory is the most memory that the process had resident since resetMemory, in bytes.
func (p *process) memory() (int64, error) {
	status, err := p.read("status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d: no VmHWM", p.command.Process.Pid)
}

func (p *process) resetMemory() error {
	return os.WriteFile(p.proc("clear_refs"), []byte("5"), 0o200)
}

func (p *process) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.command.Process.Pid, name)
}

func (p *process) read(name string) (string, error) {
	content, err := os.ReadFile(p.proc(name))
	return string(content), err
}

// ready waits until the program says that it is.
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
