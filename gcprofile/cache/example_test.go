package cache_test

import (
	"errors"
	"fmt"

	"netbench/gcprofile/cache"
)

// A cache of pages that takes no more than 1 MiB of memory.
func Example() {
	overhead := cache.Overhead[string, []byte]()
	pages, err := cache.New(cache.Config[string, []byte]{
		MaxBytes: 1 << 20,
		Cost:     func(path string, page []byte) int64 { return overhead + int64(len(path)+cap(page)) },
	})
	if err != nil {
		panic(err)
	}
	defer pages.Close()

	fmt.Println(pages.Set("/", []byte("hello")))
	page, ok := pages.Get("/")
	fmt.Println(string(page), ok)
	fmt.Println(errors.Is(pages.Set("/film", make([]byte, 2<<20)), cache.ErrTooLarge))
	// Output:
	// <nil>
	// hello true
	// true
}
