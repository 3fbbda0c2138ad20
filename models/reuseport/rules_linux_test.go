package reuseport

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/models/modeltest"
)

// Most rules run services that they steer from within the process, which cannot
// travel to workers. These run nothing but the suite's echo, for which ours can
// stand in.
var travelling = []string{
	"config-errors", "address-in-use", "close-anytime", "serve-error", "shutdown-again", "stats-anytime",
}

func TestPreforkFollowsTheRulesWhoseServiceTravels(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		factory := func(cfg models.Config) (models.Server, error) {
			if cfg.Service != nil && cfg.Service.Name() == "echo" {
				cfg.Service = models.Echo{}
			}
			return Prefork(o)(cfg)
		}
		ran := 0
		for _, rule := range modeltest.Rules() {
			if slices.Contains(travelling, rule.Name) {
				t.Run(rule.Name, func(t *testing.T) { rule.Check(t, factory) })
				ran++
			}
		}
		require.Equal(t, len(travelling), ran, "rules that the suite has")
	})
}
