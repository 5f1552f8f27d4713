package server

import "log/slog"

// Build identifies the program. Unknown fields are empty.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // of the commit or the release, in RFC 3339
	Go      string `json:"go"`   // the version of Go
}

// LogValue returns the fields that are not empty.
func (b Build) LogValue() slog.Value {
	var known []slog.Attr
	for _, a := range []slog.Attr{
		slog.String("version", b.Version), slog.String("commit", b.Commit), slog.String("date", b.Date), slog.String("go", b.Go),
	} {
		if a.Value.String() != "" {
			known = append(known, a)
		}
	}
	return slog.GroupValue(known...)
}
