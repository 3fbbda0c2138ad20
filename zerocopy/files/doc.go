// Package files is a file service: it takes files over HTTP into one directory and
// gives them out again.
//
// The bytes of an upload pass through this process once, in blocks of
// [Config].Buffer, because they have to be hashed; those of a download do not pass
// through it at all, where the system has sendfile(2). Both are bounded: an upload
// holds one block and a small read-ahead, whatever its size, and a download holds
// what net/http holds for a connection.
//
// # Whole or not at all
//
// An upload is written to a temporary file in the directory itself, flushed to the
// disk and renamed when the last byte of the request is there. Whoever lists or
// reads the directory sees the file before or the file after, never a part of it,
// and a reader of the file before keeps it to its end. What a killed process leaves
// behind has a name that is never listed or given out, and the next [New] removes it.
//
// # Names
//
// The directory is flat. A name is what [CheckName] lets pass; it never reaches the
// file system otherwise. Behind that stands [os.Root], which also refuses symbolic
// links that lead out of the directory.
//
// # Stalls
//
// A time limit on a whole transfer is wrong for every size but one. So a client has
// to move at least [Config].Buffer bytes within each [Config].Stall, in which only
// the time counts that the service waited for the client, not for the disk. The
// deadlines are set with [http.ResponseController], for each exchange anew.
//
// A request that is refused while its body still comes is answered at once, and then
// the rest is taken and thrown away for up to 5 s: else many a client would see a
// broken connection in place of the answer. Such a connection is not used again.
//
// # Other sites
//
// A browser sends the requests of any page to any address, this host's own, too. An
// upload from a page of another origin is refused, by Origin or Sec-Fetch-Site
// ([http.CrossOriginProtection]); other pages may not read or embed what is here; one
// whose name was made to lead here is refused by [Config].Hosts. A file is never
// taken for another kind than its name says, and runs no script if it is shown.
//
// # Requests
//
//	POST /upload            one file as multipart/form-data; ?name= overrides its name
//	GET  /download?file=N   the file, to be saved
//	GET  /N                 the file, to be shown
//	GET  /list              the names, sizes and times of all files, as JSON
//	GET  /                  a page that does all this
//
// A file that is called upload, download or list is given out by /download alone.
//
// HEAD goes where GET does. An upload is answered with 201 and an object: filename,
// size in bytes, md5 and sha256 in hexadecimal, upload_time in seconds from the
// first byte of the file until it is on the disk, speed in bytes per second. Every
// error is an object, too: status, and error, which says what is wrong.
//
// Downloads understand Range, If-Range, If-Match, If-None-Match, If-Modified-Since
// and If-Unmodified-Since (RFC 9110). Entity tags are strong: of the size, the time
// of the last change and, where there is one, the inode, which is another for every
// upload.
package files
