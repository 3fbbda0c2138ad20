package containers

import (
	"strings"

	"netbench/testenv/services"
)

// inside is the directory in a container that holds all of a service: what is given
// to it, its data, its sockets. Nobody else may look into it.
const inside = "/tmp/netbench"

// given is the file in it with what the service is given.
const given = inside + "/given"

// script is what the first process of a service's container does: a shell that is
// told by lines at its standard input, up to "." what to write to the file given,
// then what to do, and tells at its standard output how the service ended. Standard
// error is the service's. Its arguments are the command line of the service.
//
// At the end of its input it ends, and the kernel kills all processes of the
// container with its first one. As that one the shell is sent no signal that it does
// not expect, and reads no file of the user's; all that it runs for itself is part of
// any shell or of every image.
func script(prepare string) string {
	return `umask 077
mkdir ` + inside + ` && cd ` + inside + ` || exit
while IFS= read -r line && [ "$line" != . ]; do printf '%s\n' "$line"; done >given
` + prepare + `
while read -r word name; do
	case $word in
	run)
		rm -f pid
		{ sh -c 'echo $$ >pid; exec "$@"' sh "$@" >&2; echo "ended $?"; } </dev/null &
		;;
	signal)
		[ -s pid ] && read -r pid <pid && kill -s "$name" "$pid"
		;;
	esac
done
`
}

// preparePostgres finds the programs where Debian keeps them, if need be, and makes
// the cluster. The password is what is given.
func preparePostgres() string {
	words := []string{"initdb"}
	for _, arg := range services.ClusterArgs(inside+"/data", given) {
		words = append(words, quoted(arg))
	}
	return `command -v initdb >/dev/null || for dir in /usr/lib/postgresql/*/bin; do PATH=$dir:$PATH; done
` + strings.Join(words, " ") + ` </dev/null >&2 || exit
rm given`
}

// quoted is a word of the shell's.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
