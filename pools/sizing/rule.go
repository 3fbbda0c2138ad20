package sizing

import "fmt"

// A Rule is what the rule of thumb "cores x 2 + disks" counts.
type Rule struct {
	Cores int // of the server's machine, or those that the server may use; 0 leaves the rule out
	Disks int // effective spindles: those that are read from, 0 if all data is cached
}

// Size is what the rule says.
func (r Rule) Size() int { return 2*r.Cores + r.Disks }

func (r Rule) check() error {
	switch {
	case r.Cores < 0:
		return badInput("cores is %d (want 1 or more)", r.Cores)
	case r.Disks < 0:
		return badInput("disks is %d (want 0 or more)", r.Disks)
	}
	return nil
}

// RuleSays is what became of the rule of thumb in this sweep.
type RuleSays struct {
	Cores int `json:"cores"`
	Disks int `json:"disks"`
	Size  int `json:"size"` // cores x 2 + disks

	Swept bool   `json:"swept"` // whether it is one of the sizes
	Text  string `json:"text"`  // in one sentence, what that size did at each concurrency
}

// says looks up the rule's size in the curves.
func (r Rule) says(curves []Curve, sizes []int) *RuleSays {
	if r.Cores == 0 || len(curves) == 0 {
		return nil
	}
	s := &RuleSays{Cores: r.Cores, Disks: r.Disks, Size: r.Size()}
	s.Text = fmt.Sprintf("%d x 2 + %d = %d connections", r.Cores, r.Disks, s.Size)
	below, above := 0, 0
	for _, size := range sizes {
		switch {
		case size == s.Size:
			s.Swept = true
		case size < s.Size:
			below = size
		case above == 0:
			above = size
		}
	}
	switch {
	case s.Swept:
		for _, c := range curves {
			p := c.point(s.Size)
			s.Text += fmt.Sprintf("; at %d callers: %s", c.Concurrency, p.Judgement.Text)
		}
	case below == 0:
		s.Text += fmt.Sprintf(", less than any size swept (the least is %d)", above)
	case above == 0:
		s.Text += fmt.Sprintf(", more than any size swept (the most is %d)", below)
	default:
		s.Text += fmt.Sprintf(", not swept itself: between %d and %d", below, above)
	}
	return s
}
