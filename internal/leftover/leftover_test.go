package leftover_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"netbench/internal/leftover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWaitReturnsWhenTheLastThingIsRemoved(t *testing.T) {
	assert.True(t, leftover.Wait(0), "nothing was owed")
	synctest.Test(t, func(t *testing.T) {
		first, second := leftover.Owe(), leftover.Owe()
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			first()
			first() // counts once
			time.Sleep(time.Second)
			second()
		}()
		assert.False(t, leftover.Wait(1500*time.Millisecond), "one is still there")
		assert.True(t, leftover.Wait(time.Minute))
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}
