# SPDX-License-Identifier: MIT
"""x"""
def main(words):
    return 0
