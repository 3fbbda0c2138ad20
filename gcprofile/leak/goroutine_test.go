package leak

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sampleDump = `goroutine 1 [running]:
main.main()
	/src/app/main.go:10 +0x1d

goroutine 18 [chan send (leaked), 12 minutes]:
example.com/app/pool.(*Pool[go.shape.int]).run(0xc000012345, {0x1, 0x2})
	/src/app/pool/pool.go:41 +0x65
...additional frames elided...
created by example.com/app/pool.(*Pool[...]).Add in goroutine 7
	/src/app/pool/pool.go:33 +0x9f

goroutine 19 [sync.Mutex.Lock, locked to thread]:
sync.(*WaitGroup).Go.func1()
	/src/go/waitgroup.go:239 +0x1
created by sync.(*WaitGroup).Go in goroutine 1
	/src/go/waitgroup.go:238 +0x1

goroutine 20 gp=0xc0001 m=nil [select (scan) (durable)]:
`

func TestParseDumpReadsStateStackAndCreator(t *testing.T) {
	all := parseDump([]byte(sampleDump))
	require.Len(t, all, 4)
	assert.Equal(t, goroutine{id: 1, state: "running", stack: []Frame{{"main.main", "/src/app/main.go", 10}}}, all[0])
	assert.Equal(t, goroutine{
		id: 18, state: "chan send", leaked: true,
		stack:   []Frame{{"example.com/app/pool.(*Pool[go.shape.int]).run", "/src/app/pool/pool.go", 41}},
		creator: Frame{"example.com/app/pool.(*Pool[...]).Add", "/src/app/pool/pool.go", 33},
	}, all[1])
	assert.Equal(t, "example.com/app/pool.(*Pool[go.shape.int]).run, created by example.com/app/pool.(*Pool[...]).Add (pool.go:33)", all[1].origin())
	assert.Equal(t, "sync.Mutex.Lock", all[2].state)
	assert.False(t, all[2].leaked)
	assert.Equal(t, goroutine{id: 20, state: "select"}, all[3])
	assert.Equal(t, "unknown", all[3].origin())
}

func TestCalleeIsWhatStandsBeforeTheArguments(t *testing.T) {
	for text, want := range map[string]string{
		"main.main()":                          "main.main",
		"a/b.(*T).f(0x1, {0x2, ...})":          "a/b.(*T).f",
		"a/b.(*T).f.func1.(*U).g(...)":         "a/b.(*T).f.func1.(*U).g",
		"a/b.f[go.shape.func(int) bool](0xc0)": "a/b.f[go.shape.func(int) bool]",
		"a/b.f({0x1, (0x2)})":                  "a/b.f",
		"nothing":                              "nothing",
		")":                                    ")",
	} {
		assert.Equal(t, want, callee(text), text)
	}
}

// parks starts a goroutine that waits, by a function whose name is on its stack.
func parks(until chan struct{}) {
	go parked(until)
}

//go:noinline
func parked(until chan struct{}) { <-until }

func TestDumpTellsOfARealGoroutineAsTheRuntimeDoes(t *testing.T) {
	until := make(chan struct{})
	defer close(until)
	parks(until)
	require.Eventually(t, func() bool {
		text, err := dump()
		require.NoError(t, err)
		all := parseDump(text)
		require.GreaterOrEqual(t, len(all), 2)
		for _, g := range all {
			if n := len(g.stack); n > 0 && g.stack[n-1].Func == "netbench/gcprofile/leak.parked" && g.state == "chan receive" {
				assert.Equal(t, "netbench/gcprofile/leak.parks", g.creator.Func)
				assert.Contains(t, g.creator.File, "goroutine_test.go")
				assert.Positive(t, g.creator.Line)
				return true
			}
		}
		return false
	}, waitFor, poll)
}

func TestStandardTellsTheLibraryFromTheProgram(t *testing.T) {
	var stack []Frame
	pcs := make([]uintptr, 20)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for f, more := frames.Next(); more; f, more = frames.Next() {
		stack = append(stack, Frame{f.Function, f.File, f.Line})
	}
	assert.False(t, standard(stack[0]), stack[0])
	assert.True(t, standard(stack[1]), stack[1]) // testing.tRunner
	// Without files, as with -trimpath, by the package.
	assert.True(t, standard(Frame{Func: "net/http.(*conn).serve"}))
	assert.True(t, standard(Frame{Func: "bufio.NewReader"}))
	assert.False(t, standard(Frame{Func: "main.main"}))
	assert.False(t, standard(Frame{Func: "example.com/app.Run"}))
	assert.False(t, standard(Frame{Func: modules[0] + "/gcprofile/leak.Start"}))
	root := standardRoot
	defer func() { standardRoot = root }()
	standardRoot = ""
	assert.False(t, standard(Frame{Func: "lib/cache.Put", File: "lib@v0.0.0/cache/cache.go"}))
	assert.True(t, standard(Frame{Func: "net/http.Get", File: "net/http/client.go"}))
	// A module's name need not have a dot, of whoever depends on it either.
	defer func(was []string) { modules = was }(modules)
	modules = []string{"app", "lib"}
	for name, want := range map[string]bool{
		"app.Run": false, "lib/cache.Put": false, "lib.Put": false, "library.Put": true, "net/http.Get": true,
	} {
		assert.Equal(t, want, standard(Frame{Func: name}), name)
	}
}

func FuzzParseDump(f *testing.F) {
	f.Add([]byte(sampleDump))
	f.Add([]byte("goroutine 1 []:\n\t:\ncreated by \n\t:-1 +0x\n)(\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, g := range parseDump(text) {
			_ = g.origin()
			for _, frame := range append(g.stack, g.creator) {
				if frame.Line < 0 {
					t.Errorf("line %d of %q", frame.Line, frame.File)
				}
			}
		}
	})
}
