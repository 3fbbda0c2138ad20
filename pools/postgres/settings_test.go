package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRecommendedSettingsAreThoseOfTheSystemAndSayWhatIsInert(t *testing.T) {
	s := Recommended()
	assert.NoError(t, s.Validate())
	assert.Equal(t, Settings{MaxOpen: 25, MaxIdle: 12, Lifetime: 5 * time.Minute, IdleTime: 10 * time.Minute, ConnectTimeout: 5 * time.Second}, s)
	assert.Equal(t, []string{"IdleTime 10m0s is inert: a connection that was idle for so long is older than Lifetime 5m0s, and closed for that"}, s.Remarks())
	assert.Equal(t, "open 25, idle 12, lifetime 5m0s, idle time 10m0s, connect 5s", s.String())
	assert.Equal(t, s, Sized(25))
}

func TestOtherSettingsAreValidAndRemarkedUpon(t *testing.T) {
	for name, tc := range map[string]struct {
		s    Settings
		want []string // in the remarks, one each
	}{
		"nothing to say":     {Settings{MaxOpen: 10, MaxIdle: 5, Lifetime: time.Minute, IdleTime: 59 * time.Second}, nil},
		"idle time as long":  {Settings{MaxOpen: 10, MaxIdle: 5, Lifetime: time.Minute, IdleTime: time.Minute}, []string{"IdleTime 1m0s is inert"}},
		"no idle time":       {Settings{MaxOpen: 10, MaxIdle: 5, Lifetime: time.Minute}, nil},
		"library defaults":   {LibraryDefaults(), []string{"MaxOpen is not limited", "Lifetime is not limited"}},
		"undersized":         {Undersized(), []string{"Lifetime is not limited"}},
		"few idle":           {Settings{MaxOpen: 10, MaxIdle: 4, Lifetime: time.Minute}, []string{"MaxIdle 4 is less than half of MaxOpen 10"}},
		"none idle":          {Settings{MaxOpen: 10, Lifetime: time.Minute}, []string{"MaxIdle is 0"}},
		"one":                {Settings{MaxOpen: 1, MaxIdle: 1, Lifetime: time.Minute}, nil},
		"zero":               {Settings{}, []string{"MaxOpen is not limited", "MaxIdle is 0", "Lifetime is not limited"}},
		"one by Sized":       {Sized(1), []string{"IdleTime 10m0s is inert"}},
		"inert and no limit": {Settings{MaxIdle: 5, Lifetime: time.Minute, IdleTime: time.Hour}, []string{"MaxOpen is not limited", "IdleTime 1h0m0s is inert"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.NoError(t, tc.s.Validate())
			remarks := tc.s.Remarks()
			if assert.Len(t, remarks, len(tc.want), "%q", remarks) {
				for i, want := range tc.want {
					assert.Contains(t, remarks[i], want)
				}
			}
		})
	}
}

func TestSettingsThatMakeNoSenseAreNamed(t *testing.T) {
	for want, s := range map[string]Settings{
		"MaxOpen is -1":                    {MaxOpen: -1},
		"MaxIdle is -2":                    {MaxIdle: -2},
		"MaxIdle is 6, more than MaxOpen,": {MaxOpen: 5, MaxIdle: 6},
		"Lifetime is -1s":                  {Lifetime: -time.Second},
		"IdleTime is -1ns":                 {IdleTime: -1},
		"ConnectTimeout is -1m0s":          {ConnectTimeout: -time.Minute},
	} {
		err := s.Validate()
		if assert.ErrorContains(t, err, want) {
			assert.Contains(t, err.Error(), "want")
			assert.Zero(t, strings.Count(err.Error(), "\n"))
		}
	}
}
