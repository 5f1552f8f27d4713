package cli

import (
	"fmt"
	"os"

	"github.com/dragoman-id/dragoman/store/userfile"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows the progress of a command on standard error. Errors of drawing it do not matter.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress returns the progress of a command. It is invisible unless standard error is a terminal, and if hidden is true.
func newProgress(hidden bool) progress {
	return progress{progressbar.NewOptions64(-1,
		progressbar.OptionSetVisibility(!hidden && term.IsTerminal(int(os.Stderr.Fd()))),
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionShowCount())}
}

// bytes shows an import's progress.
func (p progress) bytes(done, total int64) {
	p.bar.ChangeMax64(total)
	_ = p.bar.Set64(done)
}

// users shows an export's progress.
func (p progress) users(n int64) { _ = p.bar.Set64(n) }

func (p progress) clear() { _ = p.bar.Clear() }

// refused prints the error of a rejected line.
func (p progress) refused(line *userfile.LineError) {
	p.clear()
	fmt.Fprintln(os.Stderr, line)
}
