package containers

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

const (
	// pullTimeout bounds the fetching of an image, which happens once.
	pullTimeout = 5 * time.Minute

	// pullStall is how long it may take without any progress.
	pullStall = 10 * time.Second

	// imageTimeout bounds the making of the image of a server, of one file.
	imageTimeout = 2 * time.Minute
)

// inspectTimeout bounds the engine's answer whether it has an image: one that told of
// itself a moment ago may hang now.
var inspectTimeout = 10 * time.Second

// inspect returns an image's id.
func inspect(ctx context.Context, c client.APIClient, image string) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	found, err := c.ImageInspect(bounded, image)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("nothing came from the engine within %v, it hangs", inspectTimeout)
	}
	return found.ID, err
}

// ensure makes sure that an image is there, and returns its id in short. One that is
// not is fetched.
func ensure(ctx context.Context, c client.APIClient, image string) (string, error) {
	id, err := inspect(ctx, c, image)
	if err == nil {
		return short(id), nil
	}
	if !errdefs.IsNotFound(err) {
		return "", fmt.Errorf("image %s: %w", image, oneLine(err))
	}
	if err := pull(ctx, c, image); err != nil {
		return "", fmt.Errorf("image %s is not there and cannot be fetched: %w (build or load it, or name another one)", image, oneLine(err))
	}
	if id, err = inspect(ctx, c, image); err != nil {
		return "", fmt.Errorf("image %s, just fetched: %w", image, oneLine(err))
	}
	return short(id), nil
}

// short is as much of an image's id as tells it from others.
func short(id string) string { return id[:min(len(id), len("sha256:")+12)] }

// pull fetches an image and gives up when nothing moves.
func pull(ctx context.Context, c client.APIClient, image string) error {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	moving, stalled := context.WithCancel(ctx)
	defer stalled()
	watch := time.AfterFunc(pullStall, stalled)
	defer watch.Stop()
	why := func(err error) error {
		if ctx.Err() == nil && moving.Err() != nil {
			return fmt.Errorf("nothing came for %v", pullStall)
		}
		return err
	}
	stream, err := c.ImagePull(moving, image, client.ImagePullOptions{})
	if err != nil {
		return why(err)
	}
	defer stream.Close()
	for message, err := range stream.JSONMessages(moving) {
		watch.Reset(pullStall)
		if err != nil {
			return why(err)
		}
		if message.Error != nil {
			return message.Error
		}
	}
	return nil
}
