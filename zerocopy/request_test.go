package zerocopy

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequestsAreReadBackFromTheirLines(t *testing.T) {
	for _, r := range []request{
		{verb: verbReport},
		{verbSend, Way{Kind: KindSendfile}, 1},
		{verbSend, Way{KindBuffer, 64 << 10}, 10 << 20},
		{verbSend, Way{Kind: KindCopyHidden}, math.MaxInt64},
	} {
		back, err := parseRequest(r.String())
		require.NoError(t, err)
		assert.Equal(t, r, back)
		assert.Less(t, len(r.String()), maxRequest)
	}
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	for _, line := range []string{
		"", " ", "GET / HTTP/1.1", "send", "send sendfile", "send sendfile 0", "send sendfile -1", "send sendfile +1", "send sendfile 1 ",
		"send  sendfile 1", "send sendfile 9223372036854775808", "send sendfile 0x10", "send tape 1", "report 1", "REPORT", "report\r",
	} {
		_, err := parseRequest(line)
		assert.Error(t, err, "%q", line)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestTheTimeAllowedGrowsWithTheBytesAndHasABound(t *testing.T) {
	assert.Equal(t, grace+time.Second, allowed(leastRate))
	assert.Equal(t, grace+time.Hour, allowed(3600*leastRate))
	assert.Equal(t, grace+maxAllowed, allowed(math.MaxInt64))
}

func FuzzParseRequest(f *testing.F) {
	f.Add("send sendfile 1000")
	f.Add("send zerocopy-1MiB 1000")
	f.Add("report")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRequest(line)
		if err != nil {
			require.NotContains(t, err.Error(), "\n", "an answer is one line")
			return
		}
		back, err := parseRequest(r.String())
		require.NoError(t, err)
		require.Equal(t, r, back)
	})
}
