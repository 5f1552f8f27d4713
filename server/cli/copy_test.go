package cli

import (
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestCopyCommand(t *testing.T) {
	t.Parallel()
	target := storetest.PostgresURL(t)
	dir := t.TempDir()
	s := storetest.Open(t, "sqlite:"+dir+"/dragoman.db")
	storetest.Directory(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	status, out, said := dragoman(t, dir, "", "copy", "--from=sqlite:dragoman.db", "--to="+target)
	if status != 0 || said != "" || !strings.Contains(out, "copied and compared users: 3\n") || !strings.Contains(out, "copied and compared user_changes: 3\n") {
		t.Fatalf("status %d: %s%s", status, out, said)
	}
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"--from=sqlite:dragoman.db --to=" + target, 2, "has customers of its own"},
		{"--from=sqlite:none.db --to=" + target, 2, "there is no directory of users"},
		{"--from=sqlite:a.db --to=sqlite:a.db", 80, "must name different databases"},
		{"--from=sqlite:a.db --to=mysql:b", 80, "--to (DRAGOMAN_TO)"},
		{"--from=sqlite:a.db", 80, "--to"},
	} {
		status, out, said := dragoman(t, dir, "", append([]string{"copy"}, strings.Fields(c.args)...)...)
		if status != c.status || out != "" || !strings.Contains(said, c.says) || strings.Count(said, "\n") > 6 {
			t.Errorf("%s: status %d: %s%s", c.args, status, out, said)
		}
	}
}
