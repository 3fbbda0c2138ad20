package race

import (
	"math"
	"strconv"
	"strings"
	"time"

	"netbench/models"
)

// resolveService turns +compute=D of the service's name into +spin=N for the name
// that it is run by, and checks that.
func (o *Options) resolveService() error {
	parts := strings.Split(o.Service, "+")
	perRound := 0.0
	for i, part := range parts {
		value, is := strings.CutPrefix(part, "compute=")
		if !is {
			continue
		}
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return badInput("service %q: compute is %q (want a time above 0, for instance 10us)", o.Service, value)
		}
		if perRound == 0 {
			if perRound, err = spinTime(); err != nil {
				return badInput("service %q: %v", o.Service, err)
			}
		}
		n := max(1, int(math.Round(float64(d)/perRound)))
		parts[i] = "spin=" + strconv.Itoa(n)
		o.Log("computing for " + d.String() + " is " + strconv.Itoa(n) + " rounds of arithmetic here, at " +
			strconv.FormatFloat(perRound, 'f', 3, 64) + " ns each")
	}
	o.run = strings.Join(parts, "+")
	if _, err := models.ParseService(o.run); err != nil {
		return badInput("%v", err)
	}
	return nil
}

// spinTime is how long one round of models.Spin takes on this host, ns. It is
// the least of many short tries: whatever disturbs one can only make it longer.
func spinTime() (float64, error) {
	const rounds, tries = 100_000, 30
	service, err := models.ParseService("echo+spin=" + strconv.Itoa(rounds))
	if err != nil {
		return 0, err
	}
	session := service.Open()
	in, out := []byte{0}, make([]byte, 0, 16)
	best := math.Inf(1)
	for range tries {
		start := time.Now()
		session.Step(in, out)
		best = min(best, float64(time.Since(start))/rounds)
	}
	return best, nil
}

// scheme and path are how the load generator reaches a service.
func scheme(service string) (scheme, path string) {
	base, _, _ := strings.Cut(service, "+")
	switch base {
	case "http":
		return "http", "/plaintext"
	case "frame", "line":
		return base, ""
	}
	return "tcp", ""
}

// blocks tells whether the service's answers wait.
func blocks(service string) bool { return strings.Contains(service, "+wait=") }

// Sized tells whether requests of the service have a size of the user's choice.
func Sized(service string) bool { s, _ := scheme(service); return s == "tcp" || s == "frame" }
