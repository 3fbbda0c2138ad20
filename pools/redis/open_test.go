package redis_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools/redis"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

const secret = "xyzzy plugh/%"

// noSecret insists on one line without the password in any form.
func noSecret(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, form := range []string{"xyzzy", url.QueryEscape(secret), secret} {
		assert.NotContains(t, text, form)
	}
	assert.NotContains(t, err.Error(), "\n")
}

func TestAURLThatDoesNotParseIsNotQuoted(t *testing.T) {
	for _, address := range []string{"", "me:" + secret + "@host:1", "redis://me:xyzzy%zz@host", "http://me:xyzzy@host", "redis://:xyzzy@host/one/two"} {
		_, err := redis.OpenURL(t.Context(), address, redis.Recommended())
		require.ErrorContains(t, err, "does not parse", address)
		noSecret(t, err)
	}
	_, err := redis.Open(t.Context(), &goredis.Options{Password: secret}, redis.Recommended())
	require.ErrorContains(t, err, "no address")
	noSecret(t, err)
}

func TestOpenTellsWhatIsWrongInOneLineWithoutThePassword(t *testing.T) {
	r := server(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := l.Addr().String()
	require.NoError(t, l.Close())
	before := descriptors(t)
	for name, tc := range map[string]struct {
		addr, password string
		want           []string
	}{
		"refused":        {refusing, secret, []string{"connection refused", "does the server run"}},
		"wrong password": {r.Options().Addr, secret, []string{"WRONGPASS", "is wrong"}},
		"no password":    {r.Options().Addr, "", []string{"NOAUTH", "give a password"}},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := redis.Open(t.Context(), &goredis.Options{Addr: tc.addr, Password: tc.password}, redis.Recommended())
			for _, want := range append(tc.want, tc.addr) {
				require.ErrorContains(t, err, want)
			}
			noSecret(t, err)
			assert.Less(t, time.Since(began), time.Minute)
		})
	}
	// A stand-in has its ends of them in this process, and closes them a little later.
	assert.Eventually(t, func() bool { return descriptors(t) == before }, 30*time.Second, time.Millisecond, "the connections of the check were left open")
}

// listen is a server of the test's own: serve is called with each connection.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestASilentServerIsGivenUpWithinTheTimeOut(t *testing.T) {
	addr := listen(t, func(c net.Conn) { c.Read(make([]byte, 1)); bufio.NewReader(c).ReadString(0) })
	for name, change := range map[string]func(*redis.Settings) context.Context{
		"DialTimeout": func(s *redis.Settings) context.Context { s.DialTimeout = 200 * time.Millisecond; return t.Context() },
		"ReadTimeout": func(s *redis.Settings) context.Context { s.ReadTimeout = 200 * time.Millisecond; return t.Context() },
		"the caller": func(*redis.Settings) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := redis.Recommended()
			s.DialTimeout, s.ReadTimeout = time.Minute, time.Minute
			ctx := change(&s)
			began := time.Now()
			_, err := redis.Open(ctx, &goredis.Options{Addr: addr, Password: secret}, s)
			require.ErrorContains(t, err, "no answer within")
			noSecret(t, err)
			assert.Less(t, time.Since(began), 20*time.Second)
		})
	}
}

func TestAServerThatEchoesThePasswordDoesNotGetItPrinted(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		fmt.Fprintf(c, "-ERR what is '%s'?\r\n", secret)
		c.Read(make([]byte, 4096))
		fmt.Fprintf(c, "-ERR and '%s'?\r\n", secret)
	})
	_, err := redis.Open(t.Context(), &goredis.Options{Addr: addr, Password: secret}, redis.Recommended())
	require.ErrorContains(t, err, "(hidden)")
	noSecret(t, err)
}

func TestAPoolLargerThanTheServerPermitsIsOneClearError(t *testing.T) {
	r := servicetest.Redis(t, services.RedisOptions{RealOnly: true, MaxClients: 25, StartTimeout: time.Minute})
	if r.Info().Settings["maxclients"] != "25" {
		t.Skip("the given server has its own maxclients")
	}
	_, err := redis.Open(t.Context(), r.Options(), redis.Recommended())
	require.ErrorContains(t, err, "Size 20 and PipelineSize 10 are more connections than the server permits to all its clients, maxclients 25")
	assert.NotContains(t, err.Error(), "\n")
	s := redis.Recommended()
	s.PipelineSize = 0
	open(t, r.Options(), s)
	_, err = redis.Kind{Base: r.Options()}.Open(t.Context(), 26)
	assert.ErrorContains(t, err, "Size 26 are more")
}

func TestAServerThatDoesNotTellItsLimitIsUsed(t *testing.T) {
	r := servicetest.Redis(t, services.RedisOptions{RealOnly: true, MaxClients: 25, StartTimeout: time.Minute})
	if r.Info().Rung == services.Given {
		t.Skip("the server is a given one, whose users are not ours to change")
	}
	admin := goredis.NewClient(r.Options())
	defer admin.Close()
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "plain", "on", ">"+secret, "~*", "+@all", "-config").Err())
	o := r.Options()
	o.Username, o.Password = "plain", secret
	p := open(t, o, redis.Recommended())
	require.NoError(t, p.Do(t.Context()))
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(format, p), "xyzzy")
	}
}

func TestTheSettingsOfAURLDoNotOverruleThePools(t *testing.T) {
	r := server(t)
	o := r.Options()
	address := (&url.URL{Scheme: "redis", User: url.UserPassword("", o.Password), Host: o.Addr, RawQuery: "pool_size=3&max_retries=9"}).String()
	p, err := redis.OpenURL(t.Context(), address, redis.Recommended())
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, 20, p.Client().Options().PoolSize)
	assert.Equal(t, 3, p.Client().Options().MaxRetries)
	require.NoError(t, p.Do(t.Context()))
	assert.True(t, strings.Contains(p.String(), o.Addr) && !strings.Contains(p.String(), o.Password), p.String())
}
