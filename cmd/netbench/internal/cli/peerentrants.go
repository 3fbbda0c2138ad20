package cli

import (
	"context"
	"strings"

	"netbench/models/peers"
	"netbench/models/race"
)

// peerEntrants are other people's engines. Those that run as their documentation
// advises inform and do not decide.
func peerEntrants() []race.Entrant {
	var all []race.Entrant
	for _, name := range peers.Names() {
		engine, err := peers.Lookup(name)
		if err != nil {
			panic(err) // a name of the list
		}
		all = append(all, race.Entrant{
			Name: name, Kind: race.Peer, Informs: strings.HasSuffix(name, peers.Recommended),
			Services: engine.Services, Declared: engine.Declared, Differs: peers.Differs(name), Version: engine.Version,
			Prepare: func(ctx context.Context) (string, error) { return peers.Build(ctx, name) },
		})
	}
	return all
}
