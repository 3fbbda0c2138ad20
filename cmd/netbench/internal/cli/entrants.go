package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"netbench/models/floor"
	"netbench/models/race"
)

// ourFirst are the models of this program that race unless others are named, in
// the order in which they are listed. Their variants race by name.
var ourFirst = []string{
	"goroutine", "goroutine-lean", "reactor",
	"reuseport-goroutine", "reuseport-reactor", "prefork-goroutine", "prefork-reactor",
}

// entrants are all models that can race, by the name that users type: those of
// [Models], and the programs of their own, of which each kind has a line here.
func entrants() []race.Entrant {
	ours := Models()
	var all []race.Entrant
	for _, name := range slices.Concat(ourFirst, variants()) {
		if _, known := ours[name]; known {
			e := race.Entrant{Name: name, Kind: race.Ours}
			if strings.HasPrefix(name, "reuseport-") || strings.HasPrefix(name, "prefork-") {
				e.Differs = map[string]string{"ReusePort": "sharing the address is what this model is about"}
			}
			all = append(all, e)
		}
	}
	all = append(all, peerEntrants()...)
	return append(all, floorEntrants()...)
}

// variants are our models that are not in ourFirst, sorted.
func variants() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(Models())), func(name string) bool { return slices.Contains(ourFirst, name) })
}

func floorEntrants() []race.Entrant {
	var all []race.Entrant
	for _, name := range floor.Names() {
		all = append(all, race.Entrant{
			Name: name, Kind: race.Floor, Services: []string{"echo"},
			Prepare:  func(ctx context.Context) (string, error) { return floor.Build(ctx, name) },
			Differs:  floor.Declared(name),
			Declared: []string{"the echo is its own, in C: no service of netbench runs in it"},
		})
	}
	return all
}

// Groups of entrants that -models takes beside names.
var entrantGroups = []struct {
	name string
	has  func(race.Entrant) bool
}{
	{"all", func(e race.Entrant) bool { return isStandard(e) }},
	{"ours", func(e race.Entrant) bool { return isStandard(e) && e.Kind == race.Ours }},
	{"peers", func(e race.Entrant) bool { return isStandard(e) && e.Kind == race.Peer }},
	{"recommended", func(e race.Entrant) bool { return e.Kind == race.Peer && e.Informs }},
	{"floor", func(e race.Entrant) bool { return e.Kind == race.Floor }},
}

// isStandard tells whether an entrant races unless others are named.
func isStandard(e race.Entrant) bool {
	return !e.Informs && (e.Kind != race.Ours || slices.Contains(ourFirst, e.Name))
}

// chooseEntrants reads a list of models and groups. named tells that all were
// named one by one, so that none may be left out.
func chooseEntrants(list string) (chosen []race.Entrant, named bool, err error) {
	all := entrants()
	named = true
	add := func(e race.Entrant) {
		if !slices.ContainsFunc(chosen, func(c race.Entrant) bool { return c.Name == e.Name }) {
			chosen = append(chosen, e)
		}
	}
	var seen []string
	for name := range strings.SplitSeq(list, ",") {
		if slices.Contains(seen, name) {
			return nil, false, fmt.Errorf("model %s is listed twice", name)
		}
		seen = append(seen, name)
		found := false
		for _, g := range entrantGroups {
			if g.name != name {
				continue
			}
			found, named = true, false
			for _, e := range all {
				if g.has(e) {
					add(e)
				}
			}
		}
		if i := slices.IndexFunc(all, func(e race.Entrant) bool { return e.Name == name }); i >= 0 {
			found = true
			add(all[i])
		}
		if !found {
			return nil, false, fmt.Errorf("model %q is unknown (use %s; or a group: %s)", name, entrantNames(all), groupNames())
		}
	}
	return chosen, named, nil
}

func entrantNames(all []race.Entrant) string {
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

func groupNames() string {
	var names []string
	for _, g := range entrantGroups {
		names = append(names, g.name)
	}
	return strings.Join(names, ", ")
}
