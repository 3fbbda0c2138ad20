package load

// silent tells whether connection i of a shard is one that the plan keeps
// without traffic. Shards count as if their connections followed one another,
// and of any stretch of these the same share is silent, wherever it begins.
func (p *Plan) silent(shard, shards, i int) bool {
	if p.Silent == 0 {
		return false
	}
	driven := p.Conns - p.Silent
	n := p.Conns*shard/shards + i
	return n*driven/p.Conns == (n+1)*driven/p.Conns
}
