package containers

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/testenv"
	"netbench/testenv/services"
)

func TestAnEngineThatAnswersTellsItsVersionAndLimits(t *testing.T) {
	e := engine(t)
	assert.Regexp(t, `^\d+\.\d+`, e.Version)
	assert.Contains(t, []string{"1", "2"}, e.Cgroups)
	assert.NotEmpty(t, e.Arch)
	t.Logf("%+v", e)
}

// silent is an engine that takes connections and never answers.
func silent(t *testing.T) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	t.Setenv("DOCKER_HOST", "unix://"+socket)
}

func TestAnEngineThatHangsIsGivenUpInTime(t *testing.T) {
	defer goleak.VerifyNone(t)
	silent(t)
	was := probeTimeout
	defer func() { probeTimeout = was }()
	probeTimeout = 200 * time.Millisecond
	began := time.Now()
	_, err := Engine(t.Context())
	require.ErrorIs(t, err, ErrNoEngine)
	assert.ErrorContains(t, err, "it hangs")
	assert.NotContains(t, err.Error(), "\n")
	assert.Less(t, time.Since(began), was)
	t.Log(err)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = StartServer(ctx, testenv.ServerSpec{Model: "goroutine", Service: "echo"}, Limits{})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAnEngineThatHangsHalfWayIsGivenUpInTime(t *testing.T) {
	defer goleak.VerifyNone(t)
	socket := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	half := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.41")
			return
		}
		<-r.Context().Done() // until the client gives up
	})}
	done := make(chan error, 1)
	go func() { done <- half.Serve(l) }()
	defer func() {
		require.NoError(t, half.Close())
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	}()
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	was := inspectTimeout
	defer func() { inspectTimeout = was }()
	inspectTimeout = 100 * time.Millisecond
	c, err := connect()
	require.NoError(t, err)
	defer c.Close()
	_, err = ensure(context.WithoutCancel(t.Context()), c, "some/image")
	assert.ErrorContains(t, err, "image some/image: nothing came from the engine within 100ms, it hangs")
}

func TestAnEngineThatIsNotThereIsOneClearLine(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, host := range map[string]string{
		"no socket": "unix:///no/such/socket",
		"refused":   "tcp://me:xyzzy@127.0.0.1:1",
		"nonsense":  "what is this",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", host)
			_, err := Engine(t.Context())
			require.ErrorIs(t, err, ErrNoEngine)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), "xyzzy")
			t.Log(err)
		})
	}
}

func TestTheLadderSaysWhyThereIsNoContainer(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///no/such/socket")
	_, err := services.StartRedis(t.Context(), services.RedisOptions{Binary: nowhere, RealOnly: true})
	var absent *services.AbsentError
	require.ErrorAs(t, err, &absent)
	assert.ErrorContains(t, err, "container: no engine of containers answers at unix:///no/such/socket")
}

func TestAnImageThatIsNotThereIsOneClearLine(t *testing.T) {
	engine(t)
	leaveNothing(t)
	// Nobody listens there, so no registry is asked.
	const missing = "127.0.0.1:1/no/such:image"
	t.Setenv(EnvRedisImage, missing)
	t.Setenv(EnvPostgresImage, missing)
	_, err := services.StartRedis(t.Context(), services.RedisOptions{Binary: nowhere, RealOnly: true})
	require.ErrorContains(t, err, "image "+missing+" is not there and cannot be fetched")
	assert.NotContains(t, err.Error(), "\n")
	_, err = services.StartPostgres(t.Context(), services.PostgresOptions{Binaries: nowhere})
	require.ErrorContains(t, err, "image "+missing+" is not there and cannot be fetched")
	assert.NotContains(t, err.Error(), "\n")
	t.Log(err)
}

func TestLimitsThatCannotBeGrantedAreErrorsWithTheReason(t *testing.T) {
	poor := EngineInfo{NoCPULimit: "no CPU quota", NoMemoryLimit: "no memory controller"}
	require.NoError(t, poor.grants(Limits{}))
	assert.EqualError(t, poor.grants(Limits{CPUs: 0.5}), "CPU cannot be limited to 0.5 here: no CPU quota")
	assert.EqualError(t, poor.grants(Limits{Memory: 1 << 30}), "memory cannot be limited to 1073741824 bytes here: no memory controller")
	require.NoError(t, EngineInfo{}.grants(Limits{CPUs: 2, Memory: 1 << 30}))
	for _, l := range []Limits{{CPUs: -1}, {CPUs: 0.001}, {Memory: -1}, {Memory: 1 << 20}} {
		_, err := StartServer(t.Context(), testenv.ServerSpec{Model: "goroutine", Service: "echo"}, l)
		assert.ErrorContains(t, err, "Limits.", "%+v", l)
	}
}
