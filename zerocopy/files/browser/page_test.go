// Package browser_test has the page of the file service used by a browser. It stands
// apart from the service's other tests because of what it depends on.
package browser_test

import (
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/needs"
	"netbench/zerocopy/files"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Keys as a browser gets them.
const (
	tab   = "\t"
	enter = "\r"
)

// page is the page of a service, in a browser.
type page struct {
	t   *testing.T
	ctx context.Context
	dir string
}

// action is something to be done in a browser.
type action = chromedp.Action[chromedp.Void]

// open serves a directory and opens its page.
func open(t *testing.T, c files.Config, wrap func(http.Handler) http.Handler) *page {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		needs.Skip(t, needs.Chromium, "no such program in PATH")
	}
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	service, err := files.New(c)
	require.NoError(t, err)
	var handler http.Handler = service
	if wrap != nil {
		handler = wrap(service)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = files.NewServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, service.Close())
	})

	// As root a browser has no sandbox, which chromedp sees to.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU)
	limited, stop := context.WithTimeout(context.Background(), time.Minute)
	allocator, release := chromedp.NewExecAllocator(limited, options...)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() { // before the server, which waits for the browser's connections
		leave()
		release()
		stop()
	})
	p := &page{t, ctx, c.Dir}
	p.do(chromedp.Navigate(server.URL + "/"))
	p.await(`document.readyState === "complete" && (!document.getElementById("none").hidden || document.querySelector("#files tr") !== null)`)
	return p
}

func (p *page) do(actions ...action) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, actions...))
}

// text is the value of an expression.
func (p *page) text(expression string) string {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	require.NoError(p.t, err, expression)
	return value
}

// await waits until an expression is true.
func (p *page) await(expression string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		is, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && is
	}, 30*time.Second, 20*time.Millisecond, expression)
}

// said waits for what the page says in an element.
func (p *page) said(id string) string {
	p.t.Helper()
	p.await(`document.getElementById("` + id + `").textContent !== ""`)
	return p.text(`document.getElementById("` + id + `").textContent`)
}

// choose makes a file and chooses it, which a person does in a window of the browser.
func (p *page) choose(name string, content []byte) {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), name)
	require.NoError(p.t, os.WriteFile(path, content, 0o600))
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path}))
}

// noise is n bytes.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b) // never fails
	return b
}

const hostile = `<img src=x onerror="document.title='run'">&amp;.txt`

func TestAFileIsUploadedByKeyboardAndListedAsText(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, hostile), []byte("x"), 0o600))
	p := open(t, files.Config{Dir: dir}, nil)
	assert.Equal(t, hostile, p.text(`document.querySelector("#files a").textContent`))
	assert.Equal(t, "0", p.text(`document.images.length`), "a name is no HTML")

	p.text(`(window.seen = [], new MutationObserver(() => seen.push(document.getElementById("percent").textContent))` +
		`.observe(document.getElementById("percent"), {childList: true, characterData: true, subtree: true}))`)
	p.text(`(window.heard = [], new MutationObserver(() => heard.push(document.getElementById("reached").textContent))` +
		`.observe(document.getElementById("reached"), {childList: true, characterData: true, subtree: true}))`)
	for _, id := range []string{"status", "error", "reached"} {
		assert.NotEqual(t, "none", p.text(`getComputedStyle(document.getElementById("`+id+`")).display`),
			"what is read aloud is there before it says something: %s", id)
	}
	p.do(chromedp.KeyEvent(tab))
	assert.Equal(t, "file", p.text("document.activeElement.id"))
	assert.Equal(t, "Files to upload", p.text("document.activeElement.labels[0].textContent"))
	content := noise(20 << 20)
	p.choose(`my "file" ü.bin`, content)
	p.do(chromedp.KeyEvent(tab))
	require.Equal(t, "send", p.text("document.activeElement.id"))
	p.do(chromedp.KeyEvent(enter))
	assert.Equal(t, "1 file is uploaded.", p.said("status"))
	got, err := os.ReadFile(filepath.Join(dir, `my "file" ü.bin`))
	require.NoError(t, err)
	assert.True(t, string(got) == string(content), "the file is not what was sent")
	assert.Equal(t, "2", p.text(`document.querySelectorAll("#files tr").length`))
	assert.Equal(t, "true", p.text(`seen.includes("100 %")`), "progress was shown: %s", p.text("seen"))
	assert.Equal(t, "true", p.text(`heard.includes('my "file" ü.bin: 100 %') && heard.at(-1) === ""`), "progress was told: %s", p.text("heard"))
	assert.Equal(t, "true", p.text(`heard.length <= 6 && heard.every((told) => told === "" || /: (0|25|50|75|100) %$/.test(told))`),
		"in few steps: %s", p.text("heard"))
	assert.Equal(t, "file", p.text("document.activeElement.id"), "ready for the next")
	assert.Equal(t, "Files", p.text("document.title"), "nothing of a name was run")

	// On to the links: each can be reached and says where it leads.
	p.do(chromedp.KeyEvent(tab), chromedp.KeyEvent(tab))
	assert.Equal(t, "A", p.text("document.activeElement.tagName"))
	assert.Contains(t, p.text("document.activeElement.href"), "/download?file=")
}

func TestWhatIsWrongIsSaidOnThePage(t *testing.T) {
	p := open(t, files.Config{MaxSize: 40 << 20}, nil)
	for _, c := range []struct {
		name string
		size int
		says string
	}{
		{"large.bin", 40<<20 + 1, "large.bin: the file is too large (at most 40.0 MiB)"},
		{".hidden", 10, ".hidden: the name begins with a dot"},
		// Refused while it is being sent, which must not look like a lost connection.
		{".large", 40 << 20, ".large: the name begins with a dot"},
	} {
		p.choose(c.name, noise(c.size))
		p.text(`document.getElementById("send").focus()`)
		p.do(chromedp.KeyEvent(enter))
		p.await(`document.getElementById("error").textContent.startsWith(` + "`" + c.name + "`" + `)`)
		assert.Equal(t, c.says, p.said("error"))
		assert.Equal(t, "alert", p.text(`document.getElementById("error").getAttribute("role")`))
	}
	there, err := os.ReadDir(p.dir)
	require.NoError(t, err)
	assert.Empty(t, there)
}

func TestAnUploadCanBeCancelledByKeyboard(t *testing.T) {
	begun, released := make(chan struct{}), make(chan struct{})
	p := open(t, files.Config{}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost { // it does not take anything before it was cancelled
				close(begun)
				<-released
			}
			h.ServeHTTP(w, r)
		})
	})
	p.choose("a.bin", noise(30<<20))
	p.text(`document.getElementById("send").focus()`)
	p.do(chromedp.KeyEvent(enter))
	select {
	case <-begun:
	case <-time.After(30 * time.Second):
		require.Fail(t, "the upload did not begin")
	}
	p.await(`document.activeElement.id === "cancel"`)
	p.do(chromedp.KeyEvent(enter))
	assert.Equal(t, "a.bin: cancelled", p.said("error"))
	close(released)
	require.Eventually(t, func() bool {
		there, err := os.ReadDir(p.dir)
		return err == nil && len(there) == 0
	}, 10*time.Second, 5*time.Millisecond, "nothing is left")
}
