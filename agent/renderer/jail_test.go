package main

func tryForbidden() {}
