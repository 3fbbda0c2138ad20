package sizing

import (
	"fmt"
	"slices"
	"strings"
)

// An Answer says how sure a knee is.
type Answer string

// Answers.
const (
	Found     Answer = "found"
	AtLeast   Answer = "at_least"  // throughput still rises at the largest size
	Undecided Answer = "undecided" // a smaller size could not be judged
	NoSize    Answer = "none"      // no size fits
)

// A Knee is the smallest size that fits, or the reason why there is none.
type Knee struct {
	Answer Answer `json:"answer"`

	// Size is the knee; with at_least, the largest size swept; with undecided, the
	// smallest size that fits for sure, if there is one.
	Size int `json:"size,omitempty"`

	// Unclear are the smaller sizes that may be the knee too.
	Unclear []int `json:"unclear,omitempty"`

	Text string `json:"text"` // the evidence, in one sentence
}

// kneeOf walks up the sizes. Concurrency bounds what a larger size could change:
// a closed loop never uses more connections than it has callers.
func kneeOf(sizes []int, judged []Judgement, concurrency int) Knee {
	if len(sizes) == 1 {
		return Knee{Answer: NoSize, Text: "a single size has nothing to be compared with (sweep several)"}
	}
	var k Knee
	for i, j := range judged {
		switch j.Verdict {
		case Unclear:
			k.Unclear = append(k.Unclear, sizes[i])
		case Fits:
			k.Size = sizes[i]
			k.Answer, k.Text = Found, j.Text
			switch {
			case len(k.Unclear) > 0:
				k.Answer = Undecided
				k.Text = fmt.Sprintf("too thin evidence: size %d fits, but %s may do (size %d: %s); take more rounds or longer slices",
					k.Size, listed(k.Unclear), k.Unclear[0], judged[slices.Index(sizes, k.Unclear[0])].Text)
			case i == len(sizes)-1 && k.Size < concurrency && allTooSlow(judged[:i]):
				k.Answer = AtLeast
				k.Text = fmt.Sprintf("throughput still rises at %d, the largest size swept (sweep larger ones)", k.Size)
			case i == 0:
				k.Text += "; it is the smallest size swept, a smaller one may do"
			}
			return k
		}
	}
	if len(k.Unclear) > 0 {
		k.Answer = Undecided
		k.Text = fmt.Sprintf("too thin evidence: no size fits for sure, %s may (size %d: %s); take more rounds or longer slices",
			listed(k.Unclear), k.Unclear[0], judged[slices.Index(sizes, k.Unclear[0])].Text)
		return k
	}
	k.Answer = NoSize
	var why []string
	for i, j := range judged {
		why = append(why, fmt.Sprintf("%d: %s", sizes[i], j.Text))
	}
	k.Text = "no size fits: " + strings.Join(why, "; ")
	return k
}

// allTooSlow tells whether all of them are refused because of their throughput.
func allTooSlow(judged []Judgement) bool {
	return !slices.ContainsFunc(judged, func(j Judgement) bool {
		return j.OfBest == nil || throughputVerdict(*j.OfBest) != Refused
	})
}

// overall is the smallest size that fits at every concurrency.
func overall(sizes []int, curves []Curve) Knee {
	switch {
	case len(curves) == 0:
		return Knee{Answer: NoSize, Text: "nothing was measured"}
	case len(sizes) == 1 || len(curves) == 1:
		return curves[0].Knee
	}
	var unclear []int
	for i, size := range sizes {
		verdict := Fits
		for _, c := range curves {
			switch v := c.Points[i].Judgement.Verdict; {
			case v == Refused:
				verdict = Refused
			case v == Unclear && verdict == Fits:
				verdict = Unclear
			}
		}
		switch verdict {
		case Unclear:
			unclear = append(unclear, size)
		case Fits:
			k := Knee{Answer: Found, Size: size, Unclear: unclear, Text: "the smallest size that fits at every concurrency (" + kneesOf(curves) + ")"}
			for _, c := range curves {
				if c.Knee.Answer == AtLeast {
					k.Answer, k.Text = AtLeast, fmt.Sprintf("at %d callers %s", c.Concurrency, c.Knee.Text)
				}
			}
			if len(unclear) > 0 {
				k.Answer = Undecided
				k.Text = fmt.Sprintf("too thin evidence: size %d fits at every concurrency, but %s may do (%s)", size, listed(unclear), kneesOf(curves))
			}
			return k
		}
	}
	if len(unclear) > 0 {
		return Knee{Answer: Undecided, Unclear: unclear, Text: fmt.Sprintf("too thin evidence: no size fits at every concurrency for sure, %s may (%s)", listed(unclear), kneesOf(curves))}
	}
	return Knee{Answer: NoSize, Text: "no one size fits at every concurrency (" + kneesOf(curves) + ")"}
}

// ofAPart is what a knee comes to that was found in a part of the rounds: the others
// could have shown another one, and what broke them off may have marred those before.
func (k Knee) ofAPart(whole, all int) Knee {
	if k.Answer != NoSize {
		k.Answer = Undecided
	}
	k.Text = fmt.Sprintf("%d of %d rounds only, which say: %s", whole, all, k.Text)
	return k
}

// kneesOf is a list of the knees of all curves.
func kneesOf(curves []Curve) string {
	var all []string
	for _, c := range curves {
		all = append(all, fmt.Sprintf("%s at %d callers", c.Knee.short(), c.Concurrency))
	}
	return strings.Join(all, ", ")
}

// short is the knee in a word or two.
func (k Knee) short() string {
	switch k.Answer {
	case Found:
		return fmt.Sprint(k.Size)
	case AtLeast:
		return fmt.Sprintf("at least %d", k.Size)
	case Undecided:
		return "undecided"
	}
	return "none"
}

// listed is a list of sizes in words.
func listed(sizes []int) string {
	var words []string
	for _, s := range sizes {
		words = append(words, fmt.Sprint(s))
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
