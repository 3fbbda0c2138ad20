package beforeafter

import (
	"encoding/json"
	"hash/maphash"
)

// catalogue holds products in three slices without a pointer: the collector marks
// them without looking inside, however many there are.
type catalogue struct {
	seed    maphash.Seed
	text    []byte   // of each product, its line of a reply up to the quantity, in JSON
	records []record // the products
	slots   []uint32 // open addressing: 1 + a place in records, 0 for none
	mask    uint64
}

// record says where a product's text is. The SKU, which needs no escapes, begins at
// skuAt in it.
type record struct {
	at    uint32
	size  uint16
	sku   uint8 // length
	price uint32
}

// skuAt is the length of what goes before the SKU.
const skuAt = len(`{"sku":"`)

// newCatalogue holds so many products.
func newCatalogue(products int) *catalogue {
	slots := uint64(16)
	for slots < 2*uint64(products) {
		slots *= 2
	}
	c := &catalogue{
		seed: maphash.MakeSeed(), mask: slots - 1,
		slots: make([]uint32, slots), records: make([]record, products),
		text: make([]byte, 0, products*(meanText+meanText/20)+1024),
	}
	for i := range products {
		c.put(i, productOf(i))
	}
	return c
}

// meanText is about how long the text of a product is, bytes.
const meanText = 176

func (c *catalogue) put(i int, p Product) {
	at := len(c.text)
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of strings
	}
	c.text = append(c.text, text[:len(text)-1]...)
	c.text = append(c.text, `,"unit_price":"`...)
	c.text = appendMoney(c.text, p.Price)
	c.text = append(c.text, '"')
	c.records[i] = record{uint32(at), uint16(len(c.text) - at), uint8(len(p.SKU)), uint32(p.Price)}
	slot := maphash.String(c.seed, p.SKU) & c.mask
	for c.slots[slot] != 0 {
		slot = (slot + 1) & c.mask
	}
	c.slots[slot] = uint32(i + 1)
}

// find returns a product's text and price. The text is the catalogue's own.
func (c *catalogue) find(sku []byte) (text []byte, price int64, ok bool) {
	slot := maphash.Bytes(c.seed, sku) & c.mask
	for ; c.slots[slot] != 0; slot = (slot + 1) & c.mask {
		r := &c.records[c.slots[slot]-1]
		text := c.text[r.at : r.at+uint32(r.size)]
		if string(text[skuAt:skuAt+int(r.sku)]) == string(sku) {
			return text, int64(r.price), true
		}
	}
	return nil, 0, false
}
