package cli

import (
	"os"

	"golang.org/x/term"
)

// terminal reports whether v is a file that is a terminal which can move its
// cursor, and how many columns it has, 0 if it does not say.
func terminal(v any) (width int, ok bool) {
	file, isFile := v.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		width = 0
	}
	return width, true
}
