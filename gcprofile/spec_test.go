package gcprofile_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile"
)

func TestSizesAreReadAsTheyArePrinted(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1B": 1, "100": 100, "1KiB": 1 << 10, "1.5KiB": 1536, "256MiB": 256 << 20, "2GiB": 2 << 30,
	} {
		got, err := gcprofile.ParseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		again, err := gcprofile.ParseSize(gcprofile.FormatSize(got))
		require.NoError(t, err)
		assert.Equal(t, want, again)
	}
	for _, text := range []string{"", "MiB", "-1", "1MB", "NaN", "Inf", "1e40", "one"} {
		_, err := gcprofile.ParseSize(text)
		assert.ErrorContains(t, err, "is not a size", text)
	}
}

func TestSettingsAreReadFromTheirNames(t *testing.T) {
	const live = 100 * mebibyte
	for text, want := range map[string]gcprofile.Setting{
		"50":         {GOGC: 50},
		"off@1.2":    {GOGC: gcprofile.Off, Limit: 120 * mebibyte},
		"off@2":      {GOGC: gcprofile.Off, Limit: 200 * mebibyte},
		"400@512MiB": {GOGC: 400, Limit: 512 * mebibyte},
	} {
		got, err := gcprofile.ParseSetting(text, live)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for text, says := range map[string]string{
		"":          "want 1 to 100000 percent, or off",
		"0":         "want 1 to 100000 percent",
		"-1":        "want 1 to 100000 percent",
		"off@":      `the limit is ""`,
		"off@much":  `the limit is "much"`,
		"off@0":     "want 1 to 1000",
		"off@-1":    "want 1 to 1000",
		"off@NaN":   "want 1 to 1000",
		"off@0MiB":  "want a size",
		"100@-3MiB": "want a size",
	} {
		_, err := gcprofile.ParseSetting(text, live)
		require.ErrorIs(t, err, gcprofile.ErrInput, text)
		assert.ErrorContains(t, err, says, text)
	}
	for text, want := range map[string]int64{"off@1.2": 120 << 10, "off@1.5": 150 << 10, "100@0.00001": 1 << 10} {
		got, err := gcprofile.ParseSetting(text, 100<<10)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.Limit, "of a small live set, finely; and never none")
	}
	_, err := gcprofile.ParseSetting("off@1.5", 0)
	assert.ErrorContains(t, err, "empty live set")
	assert.Len(t, gcprofile.DefaultSettings(live), 7)
	assert.Len(t, gcprofile.DefaultSettings(0), 4)
	assert.Equal(t, "GOGC=off GOMEMLIMIT=120MiB", gcprofile.DefaultSettings(live)[4].String())
	assert.Equal(t, "GOGC=100", gcprofile.Setting{}.String())
}

func TestTheDefaultSettingsFitEveryLiveSet(t *testing.T) {
	for _, live := range []int64{0, 4 << 10, 100 << 10, mebibyte, 2 * mebibyte, 3 * mebibyte, 15 * mebibyte, 16 * mebibyte, 100 * mebibyte, gcprofile.MaxLive} {
		plan := gcprofile.Plan{Spec: gcprofile.Spec{Live: live}, Host: host(nil)}
		assert.NoError(t, plan.Check(), "%d bytes", live)
	}
}

func TestALimitFarBelowTheLiveSetIsNotTakenForNone(t *testing.T) {
	for _, text := range []string{"100@0.001", "off@0.001"} {
		setting, err := gcprofile.ParseSetting(text, 64*mebibyte)
		require.NoError(t, err)
		err = gcprofile.Spec{Live: 64 * mebibyte}.With(setting).Check(host(nil))
		require.ErrorIs(t, err, gcprofile.ErrInput, text)
		assert.ErrorContains(t, err, "is not above the live set of 64.0MiB")
	}
}

func TestWhatCannotBeMeasuredIsRefusedInOneLine(t *testing.T) {
	plan := func(change func(*gcprofile.Plan)) gcprofile.Plan {
		p := gcprofile.Plan{Spec: gcprofile.Spec{Live: 64 * mebibyte}, Drive: gcprofile.Drive{Rate: 100}, Host: host(nil)}
		change(&p)
		return p
	}
	require.NoError(t, plan(func(*gcprofile.Plan) {}).Check())
	for says, change := range map[string]func(*gcprofile.Plan){
		"is not above the live set of 64.0MiB": func(p *gcprofile.Plan) {
			p.Settings = []gcprofile.Setting{{GOGC: gcprofile.Off, Limit: 60 * mebibyte}}
		},
		"never collects": func(p *gcprofile.Plan) { p.Settings = []gcprofile.Setting{{GOGC: gcprofile.Off}} },
		"GOGC is 9223372036854775807": func(p *gcprofile.Plan) {
			p.Settings = []gcprofile.Setting{{GOGC: math.MaxInt}}
		},
		"GOGC is -7": func(p *gcprofile.Plan) { p.Settings = []gcprofile.Setting{{GOGC: -7}} },
		"limit is -1 bytes": func(p *gcprofile.Plan) {
			p.Settings = []gcprofile.Setting{{Limit: -1}}
		},
		"GOGC=100 is given twice": func(p *gcprofile.Plan) { p.Settings = []gcprofile.Setting{{GOGC: 100}, {GOGC: 100}} },
		"no settings":             func(p *gcprofile.Plan) { p.Settings = []gcprofile.Setting{} },
		"rate is -1":              func(p *gcprofile.Plan) { p.Drive.Rate = -1 },
		"rate is 1.1e+08":         func(p *gcprofile.Plan) { p.Drive.Rate = 1.1e8 },
		"rate is NaN":             func(p *gcprofile.Plan) { p.Drive.Rate = math.NaN() },
		"conns is -1":             func(p *gcprofile.Plan) { p.Drive.Conns = -1 },
		"collections is -1":       func(p *gcprofile.Plan) { p.Drive.Collections = -1 },
		"a block lasts -1s":       func(p *gcprofile.Plan) { p.Drive.Min = -time.Second },
		"share of the capacity":   func(p *gcprofile.Plan) { p.Share = 1.1 },
		"blocks is -1":            func(p *gcprofile.Plan) { p.Blocks = -1 },
		"live is -1":              func(p *gcprofile.Plan) { p.Spec.Live = -1 },
		"live is 4294967296":      func(p *gcprofile.Plan) { p.Spec.Live = 4 << 30 },
		"objects is":              func(p *gcprofile.Plan) { p.Spec.Objects = "round" },
		"alloc is":                func(p *gcprofile.Plan) { p.Spec.Alloc = "some" },
	} {
		_, err := gcprofile.Sweep(t.Context(), plan(change))
		require.ErrorIs(t, err, gcprofile.ErrInput, says)
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "\n")
	}
	_, err := gcprofile.Start(t.Context(), gcprofile.Spec{Live: -1})
	require.ErrorIs(t, err, gcprofile.ErrInput)
	_, err = gcprofile.Measure(t.Context(), start(t, gcprofile.Spec{}), gcprofile.Drive{})
	require.ErrorContains(t, err, "the rate is 0 requests a second (want more than 0, up to 1e8)")
}

func TestALimitNearTheLiveSetIsWarnedOfBeforehand(t *testing.T) {
	spec := gcprofile.Spec{Live: 100 * mebibyte, GOGC: gcprofile.Off}
	spec.MemLimit = 105 * mebibyte
	require.NoError(t, spec.Check(host(nil)))
	assert.Contains(t, spec.Warning(), "death spiral ahead: GOGC=off GOMEMLIMIT=105MiB is 1.05 times the live set of 100MiB")
	spec.MemLimit = 120 * mebibyte
	assert.Empty(t, spec.Warning())
	assert.Empty(t, gcprofile.Spec{Live: 100 * mebibyte}.Warning())

	// What the runtime needs itself is much beside a small live set.
	spec = gcprofile.Spec{Live: 16 * mebibyte, GOGC: gcprofile.Off, MemLimit: 19 * mebibyte}
	assert.Contains(t, spec.Warning(), "GOMEMLIMIT=19MiB is 1.19 times the live set of 16MiB, and below 22.6MiB (1.1 times the live set, and 5MiB of the runtime's own)")
	spec.MemLimit = 24 * mebibyte
	assert.Empty(t, spec.Warning())
	assert.Contains(t, gcprofile.Spec{GOGC: 100, MemLimit: mebibyte}.Warning(), "death spiral ahead: GOGC=100 GOMEMLIMIT=1MiB without a live set")
}

func TestPeakHeapIsWhatTheSettingPermits(t *testing.T) {
	spec := gcprofile.Spec{Live: 100 * mebibyte}
	for set, want := range map[gcprofile.Setting]int64{
		{}:                                      200,
		{GOGC: 50}:                              150,
		{GOGC: 400}:                             500,
		{GOGC: 400, Limit: 300 << 20}:           300,
		{GOGC: gcprofile.Off, Limit: 120 << 20}: 120,
	} {
		assert.Equal(t, want*mebibyte, spec.With(set).PeakHeap(), set)
	}
	assert.EqualValues(t, 4<<20, gcprofile.Spec{}.PeakHeap(), "the runtime's least")
}
