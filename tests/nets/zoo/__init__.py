"""Nets as users write them: each file is one model in torch, in linen and in nnx, of one function once converted."""
