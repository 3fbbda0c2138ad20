package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"netbench/results"
	"netbench/zerocopy/files"
)

func filesCommand() Command {
	return Command{
		Name:  "files",
		Short: "take and give out the files of a directory over HTTP",
		Long: `It prints the URL of a page on which files can be uploaded and downloaded, and
serves. Programs use these:

  POST /upload            one file as multipart/form-data; ?name=N gives it a name
  GET  /download?file=N   the file, whole or in ranges
  GET  /N                 the same, to be shown in place of saved
  GET  /list              names, sizes and times, as JSON

An upload is answered with filename, size, md5, sha256, upload_time (seconds) and
speed (bytes per second); an error with status and error. A file appears under its
name when all of it is on the disk, in place of one that had the name. Downloads are
sent by the kernel, and can be resumed: Range, If-Range, ETag.

The directory is flat: names with a separator, a control character or a dot in front
are refused, links that lead out of it are not followed. What a killed process left
of an upload is removed at the next start. Anybody who reaches the address may
upload, and replace what is there: -addr is this host alone unless it is given. Then
requests for another name than localhost or an address are refused, too, as they come
from pages of other sites; -hosts permits names, and * any.

A client that moves less than -buffer bytes within -stall is cut off.

The first interrupt (or SIGTERM) drains: what is under way is finished, within
-drain. At the end it prints what it has done.

Exit codes: 0 served and drained; 1 the listener failed, or what was under way had to
be cut; 2 bad input; 3 interrupted while it started, which failed.`,
		Examples: []Example{
			{"The files of a directory, on http://127.0.0.1:8080/:", "netbench files -dir /srv/files"},
			{"Uploads of up to 10 GB, on a free port, with a line for each request:", "netbench files -dir . -max-size 10000000000 -addr 127.0.0.1:0 -log"},
		},
		Setup: func(fs *flag.FlagSet) Action {
			var c files.Config
			fs.StringVar(&c.Dir, "dir", "", "`directory` to serve")
			fs.Int64Var(&c.MaxSize, "max-size", files.DefaultMaxSize, "largest upload in `bytes`")
			fs.IntVar(&c.Buffer, "buffer", files.DefaultBuffer, "size of a block in `bytes`: what is hashed and written, or sent, at a time")
			fs.DurationVar(&c.Stall, "stall", files.DefaultStall, "`time` in which a client has to move a block")
			addr := fs.String("addr", "127.0.0.1:8080", "`address` to listen on: host:port, port 0 for a free one")
			hosts := fs.String("hosts", "", "`names` by which clients may call it beside localhost and addresses, separated by commas; * for any, which is what nothing means if -addr is not this host alone")
			drain := fs.Duration("drain", 30*time.Second, "longest `time` for what is under way at the end")
			logged := fs.Bool("log", false, "print a line for each request to standard error")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				if c.Dir == "" {
					return results.ExitBadInput, errors.New("no -dir is given (name the directory to serve)")
				}
				for _, name := range []string{"max-size", "buffer", "stall"} { // 0 would mean a default
					if value := fs.Lookup(name).Value.String(); value == "0" || value == "0s" {
						return results.ExitBadInput, fmt.Errorf("-%s is %s (want more than 0)", name, value)
					}
				}
				if *drain < 0 {
					return results.ExitBadInput, fmt.Errorf("-drain is %v (want 0 or more)", *drain)
				}
				listener, err := net.Listen("tcp", *addr)
				if err != nil {
					if ctx.Err() != nil {
						return results.ExitUndecided, fmt.Errorf("interrupted while it started: %w", err)
					}
					return results.ExitBadInput, err
				}
				c.Hosts = hostNames(*hosts, listener.Addr())
				service, err := files.New(c)
				if err != nil {
					return results.ExitBadInput, errors.Join(err, listener.Close())
				}
				fmt.Fprintf(s.Out, "http://%s/  (files of %s; interrupt to stop)\n", listener.Addr(), c.Dir)
				var handler http.Handler = service
				if *logged {
					handler = logRequests(service, s.Err)
				}
				return serveFiles(ctx, service, handler, listener, *drain, s)
			}
		},
	}
}

// hostNames are the names by which a service at an address may be called, given
// those of the command line; none means any.
func hostNames(given string, at net.Addr) (names []string) {
	for name := range strings.SplitSeq(given, ",") {
		switch name = strings.TrimSpace(name); name {
		case "":
		case "*":
			return nil
		default:
			names = append(names, name)
		}
	}
	if tcp, ok := at.(*net.TCPAddr); ok && len(names) == 0 && tcp.IP.IsLoopback() {
		return []string{"localhost"}
	}
	return names
}

// logRequests prints a line for each request that was answered.
func logRequests(next http.Handler, w io.Writer) http.Handler {
	lines := log.New(w, "", 0) // prints one line at a time
	return files.Record(next, func(a files.Answer) {
		lines.Printf("%s %q %d %d bytes in %v", a.Method, a.Path, a.Status, a.Bytes, a.Took.Round(time.Microsecond))
	})
}

// serveFiles serves until ctx ends, then drains.
func serveFiles(ctx context.Context, service *files.Service, handler http.Handler, l net.Listener, drain time.Duration, s Streams) (int, error) {
	server := files.NewServer(handler)
	server.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return results.ExitFailed, errors.Join(err, server.Close(), service.Close())
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	drained := server.Shutdown(limit)
	if drained != nil {
		drained = errors.Join(drained, server.Close())
	}
	err := <-served
	released := service.Close() // waits for what was cut, too, so that nothing of it stays
	st := service.Stats()
	fmt.Fprintf(s.Out, "stored %d files, gave out %d, %d bytes in, %d bytes out; %d refused, %d failed, %d cut\n",
		st.Uploads, st.Downloads, st.BytesIn, st.BytesOut, st.Refused, st.Failed, st.Cut)
	switch {
	case errors.Is(drained, context.DeadlineExceeded):
		return results.ExitFailed, fmt.Errorf("transfers were cut that had not ended within %v", drain)
	case drained != nil:
		return results.ExitFailed, fmt.Errorf("drain: %w", drained)
	case !errors.Is(err, http.ErrServerClosed):
		return results.ExitFailed, err
	case released != nil:
		return results.ExitFailed, released
	}
	return results.ExitGood, nil
}
