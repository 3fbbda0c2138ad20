package containers

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"encoding/json"
)

const (
	// scratchName names the images of the server under test; a tag is the hash of
	// the binary.
	scratchName = "netbench/server"

	// scratchLabel marks them.
	scratchLabel = "netbench.server"

	// scratchAge is how long an image is kept that no container uses.
	scratchAge = 24 * time.Hour

	// inImage is the binary's path in the image.
	inImage = "/netbench"
)

// dockerfile describes the image. The binary is all that is in it.
const dockerfile = "FROM scratch\nCOPY netbench " + inImage + "\nENTRYPOINT [\"" + inImage + "\"]\n"

// ours are the images of this project's own binary that this process has made or
// found, by architecture.
var ours struct {
	sync.Mutex
	images map[string]string
}

// scratch makes the image of a server, or finds it. program is a static executable,
// "" for this project's own.
func scratch(ctx context.Context, c *client.Client, arch, program string) (string, error) {
	if program != "" {
		binary, err := os.ReadFile(program)
		if err != nil {
			return "", err
		}
		return imageOf(ctx, c, binary, program)
	}
	ours.Lock()
	defer ours.Unlock()
	if image := ours.images[arch]; image != "" {
		if _, err := inspect(ctx, c, image); err == nil {
			return image, nil
		}
	}
	binary, err := build(ctx, arch)
	if err != nil {
		return "", err
	}
	image, err := imageOf(ctx, c, binary, "netbench")
	if err != nil {
		return "", err
	}
	if ours.images == nil {
		ours.images = map[string]string{}
	}
	ours.images[arch] = image
	return image, nil
}

// imageOf makes the image of a binary, unless it is there.
func imageOf(ctx context.Context, c *client.Client, binary []byte, name string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("image of %s: %w", name, oneLine(err)) }
	if err := static(binary); err != nil {
		return fail(err)
	}
	image := fmt.Sprintf("%s:%x", scratchName, sha256.Sum256(binary))[:len(scratchName)+1+16]
	_, err := inspect(ctx, c, image)
	if err == nil {
		return image, nil
	}
	if !errdefs.IsNotFound(err) {
		return fail(err)
	}
	source, err := archive(map[string][]byte{"Dockerfile": []byte(dockerfile), "netbench": binary})
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	res, err := c.ImageBuild(ctx, source, client.ImageBuildOptions{
		Tags: []string{image}, Labels: map[string]string{scratchLabel: "1"}, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	for lines := json.NewDecoder(res.Body); ; {
		var message jsonstream.Message
		if err := lines.Decode(&message); err == io.EOF {
			break
		} else if err != nil {
			return fail(err)
		}
		if message.Error != nil {
			return fail(message.Error)
		}
	}
	removeOld(ctx, c, image)
	return image, nil
}

// archive is a tar archive of executables.
func archive(files map[string][]byte) (io.Reader, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return &buffer, w.Close()
}

// removeOld removes images of earlier binaries that nobody uses. Failing to is no
// harm.
func removeOld(ctx context.Context, c *client.Client, but string) {
	found, err := c.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("label", scratchLabel)})
	if err != nil {
		return
	}
	for _, image := range found.Items {
		if time.Since(time.Unix(image.Created, 0)) < scratchAge {
			continue
		}
		for _, tag := range image.RepoTags {
			if tag != but && strings.HasPrefix(tag, scratchName+":") {
				_, _ = c.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true})
			}
		}
	}
}
