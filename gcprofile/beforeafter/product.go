package beforeafter

import (
	"fmt"
	"math/rand/v2"
)

// A Product is one of those that the service sells, as a database would give it.
type Product struct {
	SKU      string   `json:"sku"`
	Name     string   `json:"name"`
	Category string   `json:"category"`
	Supplier string   `json:"supplier"`
	Tags     []string `json:"tags"`
	Price    int64    `json:"-"` // cents
}

// Words that products are named by. Some have to be escaped in JSON, as some do.
var (
	adjectives = []string{"small", "large", "folding", "heavy", "cordless", "waterproof", "R&D", "\"pro\"", "gebürstet", "matte", "spare", "digital"}
	nouns      = []string{"drill", "lamp", "kettle", "ladder", "saddle", "router", "cable <2m>", "bookshelf", "Gießkanne", "hinge", "tripod", "valve"}
	categories = []string{"tools", "kitchen", "garden", "office", "bicycles", "network & cables", "furniture", "hardware"}
	suppliers  = []string{"Northern Supply Ltd", "Müller & Söhne", "Kanto Works", "Atlas Trading", "Orchard Street Goods"}
	tags       = []string{"new", "sale", "bulky", "fragile", "eco", "refurbished", "import", "gift"}
)

// skuOf is the stock keeping unit of product i.
func skuOf(i int) string { return fmt.Sprintf("SKU-%08d", i) }

// productOf makes product i, always the same. Each string is one of its own, as it
// is when it was read from a database.
func productOf(i int) Product {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	pick := func(words []string) string { return string([]byte(words[r.IntN(len(words))])) }
	p := Product{
		SKU:      skuOf(i),
		Name:     fmt.Sprintf("%s %s %s, model %04d", pick(adjectives), pick(adjectives), pick(nouns), r.IntN(10_000)),
		Category: pick(categories),
		Supplier: pick(suppliers),
		Price:    int64(99 + r.IntN(50_000)),
	}
	for range 3 {
		p.Tags = append(p.Tags, pick(tags))
	}
	return p
}
