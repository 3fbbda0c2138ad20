//go:build !unix

package results

// syncDir does nothing where a directory cannot be opened as a file. NTFS
// journals the rename itself.
func syncDir(string) error { return nil }
