package reuseport

import "netbench/models"

// nameOf is a model's name in a map of factories.
func nameOf(kind string, over Over, steer bool) string {
	name := kind + "-" + over.String()
	if steer {
		name += "-steered"
	}
	return name
}

// Models returns the factories of this package by name: reuseport-goroutine,
// prefork-goroutine and so on, and each once more with -steered.
func Models() map[string]models.Factory {
	all := map[string]models.Factory{}
	for over := range kinds {
		for _, steer := range []bool{false, true} {
			all[nameOf("reuseport", Over(over), steer)] = Factory(Options{Over: Over(over), Steer: steer})
			all[nameOf("prefork", Over(over), steer)] = Prefork(PreforkOptions{Over: Over(over), Steer: steer})
		}
	}
	return all
}
