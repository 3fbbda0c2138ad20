package zerocopy

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// Material returns an endless reader of bytes that look random and are the same for
// the same seed. What a server sends can so be checked by who does not have its file.
func Material(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// MaterialSum is the SHA-256 of the first n bytes of [Material].
func MaterialSum(seed byte, n int64) (sum [sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.CopyN(h, Material(seed), n) // neither end fails
	return [sha256.Size]byte(h.Sum(nil))
}

// WriteMaterial makes a file of the first n bytes of [Material], which must not exist.
func WriteMaterial(path string, seed byte, n int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("write %d bytes of material: %w", n, e)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.CopyN(w, Material(seed), n); err != nil {
		return fmt.Errorf("write %d bytes of material: %w", n, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write %d bytes of material: %w", n, err)
	}
	return nil
}
