//go:build !unix

package sqlite

// checkWritable does nothing: SQLite reports an error when it writes.
func checkWritable(string) error { return nil }
