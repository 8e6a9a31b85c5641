"""The Taobao sample of MB-CGCN."""
