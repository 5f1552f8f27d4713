package cli

import (
	"fmt"
	"os"

	"github.com/dragoman-id/dragoman/store/userfile"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows the progress of a command on standard error if that is a terminal.
type progress struct{ bar *progressbar.ProgressBar }

func newProgress() progress {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return progress{}
	}
	return progress{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionShowCount())}
}

// bytes shows an import's progress.
func (p progress) bytes(done, total int64) {
	if p.bar == nil {
		return
	}
	// Errors of drawing the bar do not matter.
	p.bar.ChangeMax64(total)
	_ = p.bar.Set64(done)
}

// users shows an export's progress.
func (p progress) users(n int64) {
	if p.bar != nil {
		_ = p.bar.Set64(n)
	}
}

func (p progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// refused prints the error of a rejected line.
func (p progress) refused(line *userfile.LineError) {
	p.clear()
	fmt.Fprintln(os.Stderr, line)
}
