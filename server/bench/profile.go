package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// profiles are CPU profiles of the program, one of each load. A nil one takes none.
type profiles struct {
	client http.Client
	folder string
	taken  []string // files
}

// take takes a profile of the program while it is loaded for so long, and returns what to call after the load.
func (p *profiles) take(ctx context.Context, program *process, duration time.Duration) (wait func() error) {
	if p == nil || program == nil || program.admin == "" {
		return func() error { return nil }
	}
	file := fmt.Sprintf("%s/%d.cpu", p.folder, len(p.taken))
	p.taken = append(p.taken, file)
	done := make(chan error, 1)
	go func() {
		err := p.fetch(ctx, "http://"+program.admin+"/debug/pprof/profile?seconds="+strconv.Itoa(int(duration.Seconds())), file)
		if err != nil {
			err = fmt.Errorf("take a profile: %w", err)
		}
		done <- err
	}()
	return func() error { return <-done }
}

func (p *profiles) fetch(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, content)
	}
	return os.WriteFile(file, content, 0o600)
}

// merge writes one profile of all that were taken.
func (p *profiles) merge(ctx context.Context, file string) error {
	command := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-proto", "-output=" + file}, p.taken...)...) // #nosec G204 -- our own files
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("merge profiles: %w\n%s", err, out)
	}
	return nil
}
