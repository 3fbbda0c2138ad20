package vectored

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/testenv"
)

// Conns is the number of connections of all scenarios.
const Conns = 16

// Sizes are the bodies that are compared, in bytes.
func Sizes() []int { return []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10} }

// Scenarios returns what there is to measure: a header and a body of each size, sent in
// each way with and without a cork, and a body in 16 parts. An operation is one
// request of some 60 bytes and its reply, of which only the reply counts by the byte.
func Scenarios() []scenario.Scenario {
	var all []scenario.Scenario
	for _, size := range Sizes() {
		for _, o := range All() {
			all = append(all, Scenario(o, size, 1))
		}
	}
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, o := range All() {
			s := Scenario(o, size, 16)
			s.Name = fmt.Sprintf("Parts/way=%s/cork=%s/parts=16/size=%d", o.Way, onOff(o.Cork), size)
			all = append(all, s)
		}
	}
	return all
}

// Scenario is that of a body in a number of parts.
func Scenario(o Options, size, parts int) scenario.Scenario {
	path := fmt.Sprintf("/bytes/%d", size)
	if parts > 1 {
		path += fmt.Sprintf("/%d", parts)
	}
	return scenario.Scenario{
		Name:   fmt.Sprintf("Vectored/way=%s/cork=%s/size=%d", o.Way, onOff(o.Cork), size),
		Server: testenv.ServerSpec{Model: o.Model(), Service: "http"},
		Scheme: "http", Path: path,
		Plan:  load.Plan{Conns: Conns},
		Bytes: int64(HeaderLen(size) + size),
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
