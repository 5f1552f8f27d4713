//go:build !unix

package store

// checkWritable leaves it to SQLite to find out.
func checkWritable(string) error { return nil }
