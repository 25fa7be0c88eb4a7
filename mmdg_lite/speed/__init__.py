"""Operations that give the plain ones' numbers at less cost."""
