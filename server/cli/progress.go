package cli

import (
	"fmt"
	"os"

	"github.com/dragoman-id/dragoman/store/userfile"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows on standard error how far a command is. Where that is no terminal it shows nothing.
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
	// What is drawn is all that could go wrong here, and nobody's loss.
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

// refused prints a bad line.
func (p progress) refused(line *userfile.LineError) {
	p.clear()
	fmt.Fprintln(os.Stderr, line)
}
