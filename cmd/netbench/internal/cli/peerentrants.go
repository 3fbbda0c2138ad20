package cli

import "netbench/models/race"

// peerEntrants are other people's engines.
func peerEntrants() []race.Entrant { return nil }
