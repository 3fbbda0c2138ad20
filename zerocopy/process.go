package zerocopy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"netbench/models"
	"netbench/testenv"
)

// Model is the name of the file server in [Models].
const Model = "zerocopy"

// envConfig is the environment variable in which a server of [Models] finds its
// [ServerConfig], as JSON.
const envConfig = "NETBENCH_ZEROCOPY_CONFIG"

// startLimit bounds the start of a server.
const startLimit = time.Minute

// Models returns the factory of the file server, for a process of its own. Give it to
// testenv.Main: [StartFileServer] starts it.
func Models() map[string]models.Factory {
	return map[string]models.Factory{Model: func(models.Config) (models.Server, error) {
		var config ServerConfig
		if err := json.Unmarshal([]byte(os.Getenv(envConfig)), &config); err != nil {
			return nil, fmt.Errorf("zerocopy: what %s says to serve: %w (use StartFileServer)", envConfig, err)
		}
		s, err := NewFileServer(config)
		if err != nil {
			return nil, err
		}
		return s, nil
	}}
}

// StartFileServer starts a [FileServer] in a process of its own, which ends with this
// one and runs on cpus; an empty set does not pin it.
func StartFileServer(ctx context.Context, config ServerConfig, cpus []int) (*testenv.Server, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	return testenv.StartServer(ctx, testenv.ServerSpec{
		Model: Model, Service: "echo", // which a server has to have, and is not looked at
		Env: []string{envConfig + "=" + string(text)}, CPUs: cpus, StartTimeout: startLimit,
	})
}
