package server

import "log/slog"

// Build says which program this is. What is not known is empty.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // RFC 3339: of the commit, or when a release was built
	Go      string `json:"go"`   // the version of Go that it was built with
}

// LogValue has the log tell of it what is known.
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
